//! Which protocols the addresses in `listen` accept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

use crate::client::{Source, get};
use crate::daemon::{Daemon, silvacast};
use crate::needs::had;
use crate::port::Port;
use crate::wait::PATIENCE;

const LOGINS: &str = "[auth]\nsource_password = \"test-source-secret\"\nadmin_password = \"a\"\n";

/// Whether the server accepts connections over IPv4 and over IPv6.
fn accepts(port: u16) -> [bool; 2] {
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    loopback.map(|address| TcpStream::connect_timeout(&(address, port).into(), PATIENCE).is_ok())
}

fn has_ipv6() -> bool {
    had("IPv6", TcpListener::bind((Ipv6Addr::LOCALHOST, 0))).is_some()
}

#[test]
fn any_ipv6_address_is_any_address_unless_ipv4_is_listed_too() {
    if !has_ipv6() {
        return;
    }
    for (addresses, accepted) in [
        (&["[::]"][..], [true, true]),
        (&["0.0.0.0"], [true, false]),
        (&["[::1]"], [false, true]),
        (&["0.0.0.0", "[::]"], [true, true]),
        (&["[::]", "0.0.0.0"], [true, true]),
        (&["127.0.0.1", "[::]"], [true, true]),
        (&["[::ffff:127.0.0.1]"], [true, false]),
    ] {
        let port = Port::reserve();
        let listen: Vec<_> =
            addresses.iter().map(|address| format!("{address}:{}", port.number())).collect();
        let server =
            Daemon::of_command_with_text(silvacast(), &format!("listen = {listen:?}\n{LOGINS}"));
        assert_eq!(accepts(server.port), accepted, "{addresses:?}");
    }
}

#[test]
fn an_icecast_xml_listens_as_icecast_does() {
    if !has_ipv6() {
        return;
    }
    for (address, accepted) in [
        ("<bind-address>::</bind-address>", [true, true]),
        ("<bind-address>0.0.0.0</bind-address>", [true, false]),
        ("", [true, false]),
    ] {
        let server = Daemon::of_text(format!(
            "<icecast><authentication><source-password>a</source-password>\
             <admin-password>b</admin-password></authentication>\
             <listen-socket><port>0</port>{address}</listen-socket></icecast>"
        ));
        assert_eq!(accepts(server.port), accepted, "{address}");
    }
}

#[test]
fn ipv4_clients_of_an_ipv6_socket_have_ipv4_addresses() {
    if !has_ipv6() {
        return;
    }
    let server =
        Daemon::of_text(format!("listen = [\"[::]:0\"]\ndeny = [\"127.0.0.0/8\"]\n{LOGINS}"));
    assert_eq!(get(&server, "/status-json.xsl").status, 403);
    server.wait_for_line(&["event=\"refused\"", "peer=127.0.0.1:"]);
    let server = Daemon::of_text(format!("listen = [\"[::]:0\"]\n{LOGINS}"));
    let _source = Source::connect(&server, "/mic.opus", 1);
    server.wait_for_line(&["source-connected", "peer=127.0.0.1:"]);
}
