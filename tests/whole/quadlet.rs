//! The container: the unit that Podman's generator makes from our file, and the image in a real Podman.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::client::{Listener, connect, get, login, read_head, request};
use crate::daemon::silvacast;
use crate::fetched::generator;
use crate::needs::{Need, had, needs};
use crate::ogg;
use crate::podman::{Podman, static_binary, text};
use crate::process::{Run, Running};
use crate::units::{memory, memory_max};
use crate::wait::{PATIENCE, until, until_received, when};

const NAME: &str = "silvasonic-icecast";
const PORT: u16 = 8080;
const SOURCE_PASSWORD: &str = "quadlet-source-secret";
const ADMIN_PASSWORD: &str = "quadlet-admin-secret";

pub(crate) fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn container() -> String {
    file("quadlet/silvasonic-icecast.container")
}

/// The rest of the only line that begins with `key`, without surrounding blanks.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let mut found = text.lines().filter_map(|line| line.trim_start().strip_prefix(key));
    let value = found.next().unwrap_or_else(|| panic!("no line begins with {key}"));
    assert_eq!(found.next(), None, "more than one line begins with {key}");
    value.trim()
}

#[test]
fn unit_container_and_compose_have_the_same_figures() {
    let unit = file("systemd/silvacast.service");
    let (container, compose) = (container(), file("quadlet/compose.yaml"));
    let memory = value(&unit, "MemoryMax=").strip_suffix('M').unwrap();
    let limit = format!("--memory={memory}m --memory-swap={memory}m");
    assert!(container.contains(&format!("PodmanArgs={limit}\n")), "{limit}");
    assert_eq!(value(&compose, "mem_limit:"), format!("{memory}m"));
    assert_eq!(value(&compose, "memswap_limit:"), format!("{memory}m"));
    let tasks = value(&unit, "TasksMax=");
    assert_eq!(value(&container, "PidsLimit="), tasks);
    assert_eq!(value(&compose, "pids_limit:"), tasks);
    let files = value(&unit, "LimitNOFILE=");
    assert_eq!(value(&container, "Ulimit=nofile="), format!("{files}:{files}"));
    assert_eq!(value(&compose, "nofile:"), format!("{{soft: {files}, hard: {files}}}"));
    for key in ["WatchdogSec=", "RestartPreventExitStatus=", "StartLimitIntervalSec="] {
        assert_eq!(value(&container, key), value(&unit, key), "{key}");
    }
}

#[test]
fn the_container_knows_its_watchdog_s_interval() {
    let container = container();
    let seconds: u64 = value(&container, "WatchdogSec=").parse().unwrap();
    let told: u64 = value(&container, "Environment=WATCHDOG_USEC=").parse().unwrap();
    assert_eq!(told, seconds * 1_000_000);
}

#[test]
fn the_image_s_configuration_is_valid_and_fits_into_its_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut configuration = file("quadlet/silvacast.toml");
    for name in ["source-password", "admin-password"] {
        let secret = directory.path().join(name);
        fs::write(&secret, "secret\n").unwrap();
        // Podman mounts it where the configuration reads it.
        assert!(container().contains(&format!("type=mount,target={name},")), "{name}");
        let mounted = format!("/run/secrets/{name}");
        assert!(configuration.contains(&mounted), "{mounted}");
        configuration = configuration.replace(&mounted, secret.to_str().unwrap());
    }
    let path = directory.path().join("silvacast.toml");
    fs::write(&path, configuration).unwrap();
    let output = silvacast().args(["check", "--config"]).arg(path).run();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let (total, limit) = (memory(&said), memory_max());
    assert!(total <= limit, "{total} MiB in the worst case, {limit} allowed");
}

/// Runs the generator on a file for the unit `name`.
fn generate(generator: &Path, name: &str, container: &str, options: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(format!("{name}.container")), container).unwrap();
    let mut command = Command::new(generator);
    command.arg("--dryrun").args(options).env("QUADLET_UNIT_DIRS", directory.path());
    command.run()
}

/// The unit that the generator makes from a file; it must not complain.
fn generated(generator: &Path, name: &str, container: &str) -> String {
    let output = generate(generator, name, container, &[]);
    let said = text(&output.stderr);
    let complaints = said.lines().filter(|line| !line.contains("]: Loading source unit file "));
    assert_eq!(complaints.collect::<Vec<_>>(), [""; 0]);
    assert!(output.status.success());
    let made = text(&output.stdout);
    made.strip_prefix(&format!("---{name}.service---\n")).unwrap().to_owned()
}

/// The unit of the server's container.
fn unit(generator: &Path, container: &str) -> String {
    generated(generator, NAME, container)
}

/// The arguments in a unit's `ExecStart`.
fn arguments(unit: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut quoted, mut letters) = (false, value(unit, "ExecStart=").chars());
    while let Some(letter) = letters.next() {
        let current = arguments.last_mut().unwrap();
        match letter {
            '\\' => current.push(letters.next().unwrap()),
            '"' => quoted = !quoted,
            ' ' if !quoted => arguments.push(String::new()),
            _ => current.push(letter),
        }
    }
    arguments
}

#[test]
fn quadlet_makes_a_unit_with_every_restriction() {
    let Some(generator) = generator() else { return };
    let unit = unit(&generator, &container());
    let command = arguments(&unit).join(" ");
    for part in [
        "/usr/bin/podman run --name silvasonic-icecast ",
        " --cap-drop all ",
        " --security-opt=no-new-privileges ",
        " --read-only ",
        " --read-only-tmpfs=false ",
        " --user 65534:65534 ",
        " --sdnotify=container ",
        " --env WATCHDOG_USEC=",
        " --env=JOURNAL_STREAM ",
        " --log-driver passthrough ",
        " --health-cmd [\"/silvacast\",\"health\"] ",
        " --network silvasonic-net ",
        " --network-alias icecast ",
        " --pull never ",
        " --secret silvasonic-icecast-source-password,type=mount,target=source-password,uid=65534,gid=65534,mode=0400 ",
        " --secret silvasonic-icecast-admin-password,type=mount,target=admin-password,uid=65534,gid=65534,mode=0400 ",
    ] {
        assert!(command.contains(part), "{part}\n{command}");
    }
    assert!(command.ends_with(" localhost/silvacast:latest"), "{command}");
    for absent in ["--publish", "--privileged", "--cap-add", "--oom-score-adj"] {
        assert!(!command.contains(absent), "{absent}\n{command}");
    }
    for line in ["Type=notify", "NotifyAccess=all", "WatchdogSec=30", "Restart=always"] {
        assert!(unit.lines().any(|l| l == line), "{line}\n{unit}");
    }
    // A station without an uplink must not wait for it.
    let mut keys = unit.lines().filter(|line| !line.starts_with('#'));
    assert!(!keys.any(|line| line.contains("network-online.target")), "{unit}");
    assert!(generate(&generator, NAME, &container(), &["--user"]).status.success());
}

#[test]
fn quadlet_refuses_a_key_that_it_does_not_know() {
    let Some(generator) = generator() else { return };
    let wrong = container().replace("[Container]\n", "[Container]\nReadOnlyish=true\n");
    let output = generate(&generator, NAME, &wrong, &[]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("unsupported key 'ReadOnlyish'"));
}

/// The settings of a unit, in the order of its sections. The options of a command are sorted,
/// because Quadlet writes them in any order.
fn settings(unit: &str) -> Vec<String> {
    let (mut settings, mut section) = (Vec::new(), "");
    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            section = line;
        }
        // Sections that begin with X are for Quadlet itself.
        if !section.starts_with("[X-") && !line.starts_with("SourcePath=") {
            let mut words: Vec<_> = line.split(' ').collect();
            words.sort_unstable();
            settings.push(format!("{section} {}", words.join(" ")));
        }
    }
    settings
}

#[test]
fn the_unit_for_podman_without_quadlet_is_what_quadlet_makes() {
    let Some(generator) = generator() else { return };
    let made = unit(&generator, &container());
    let kept = file("quadlet/silvasonic-icecast.service");
    assert_eq!(settings(&kept), settings(&made), "Quadlet makes:\n{made}");
}

#[test]
fn systemd_does_not_complain_about_the_units() {
    let Some(generator) = generator().filter(|_| needs(&[Need::Podman])) else { return };
    for name in [NAME, "silvasonic-recorder@", "silvasonic-encoder@"] {
        // Of its own: a unit that another one names would be verified with it.
        let directory = tempfile::tempdir().unwrap();
        let verify = |unit: &str| {
            let path = directory.path().join(format!("{name}.service"));
            fs::write(&path, unit).unwrap();
            let output = Command::new("systemd-analyze").arg("verify").arg(path).run();
            text(&output.stderr)
        };
        let unit = generated(&generator, name, &file(&format!("quadlet/{name}.container")));
        assert_eq!(verify(&unit), "");
        // It does complain about an unknown key.
        let wrong = unit.replace("[Service]\n", "[Service]\nWatchdogSecs=30\n");
        assert!(verify(&wrong).contains("WatchdogSecs"));
    }
}

/// The command that the unit runs, without what this kind of machine lacks: a manager of control groups, and the right
/// to raise limits.
fn start_command(unit: &str, cidfile: &str) -> Vec<String> {
    let mut command = arguments(unit);
    let mut change = |from: &str, to: &str| {
        let place = command.iter().position(|argument| argument == from).expect(from);
        to.clone_into(&mut command[place]);
    };
    change("--cgroups=split", "--cgroups=disabled");
    change("--cidfile=%t/%N.cid", cidfile);
    change("${SILVASONIC_ICECAST_PORT}:8080", &format!("{PORT}:8080"));
    change("--pids-limit", "--ulimit");
    change("16", "nproc=1000:1000");
    command.retain(|argument| !argument.starts_with("--memory"));
    command
}

#[test]
fn the_image_serves_in_a_real_podman_as_the_unit_starts_it() {
    if !needs(&[Need::Root, Need::Podman]) {
        return;
    }
    let Some(generator) = generator() else { return };
    let Some(binary) = had("a static binary", static_binary()) else { return };
    let Some(podman) = had("namespaces", Podman::start()) else { return };
    let context = podman.place("context");
    fs::create_dir_all(format!("{context}/quadlet")).unwrap();
    fs::copy(binary, format!("{context}/silvacast")).unwrap();
    for name in ["Containerfile", "silvacast.toml"] {
        podman.write(&format!("context/quadlet/{name}"), &file(&format!("quadlet/{name}")));
    }
    let recipe = format!("{context}/quadlet/Containerfile");
    let image = "localhost/silvacast:latest";
    podman.run(&["build", "--build-arg=BINARY=silvacast", "-t", image, "-f", &recipe, &context]);
    // The image alone, without our files, does not run as root either.
    let inspect = ["image", "inspect", "--format", "{{.Config.User}} {{.Config.ExposedPorts}}"];
    let said = podman.run(&[&inspect[..], &[image]].concat());
    assert_eq!(said, "65534:65534 map[8080/tcp:{}]");
    podman.run(&["network", "create", "silvasonic-net"]);
    podman.secret("silvasonic-icecast-source-password", SOURCE_PASSWORD);
    podman.secret("silvasonic-icecast-admin-password", ADMIN_PASSWORD);

    // As on a station that publishes the port: the file has that line as a comment.
    let published = container().replace("\n#PublishPort=", "\nPublishPort=");
    let unit = unit(&generator, &published);
    let command = start_command(&unit, &format!("--cidfile={}", podman.place("cid")));
    let notify = podman.place("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let log = podman.place("log");
    let mut start = podman.inside(&command[0]);
    start.args(&command[1..]).env("NOTIFY_SOCKET", &notify);
    start.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let started = Running::start(&mut start).wait(PATIENCE);
    assert!(started.success(), "{}", fs::read_to_string(&log).unwrap());
    // The whole message, as silvacast sends it: Podman would add the ID of its own process.
    let mut told = [0; 4096];
    until_received("READY=1", PATIENCE, || match manager.recv(&mut told) {
        Ok(length) => {
            let message = String::from_utf8_lossy(&told[..length]);
            when(message == "READY=1", message)
        }
        Err(error) => panic!("{error}; its log: {}", fs::read_to_string(&log).unwrap()),
    });

    // What /proc shows: an unprivileged user, no capabilities, a read-only file system.
    let pid = podman.run(&["inspect", "--format", "{{.State.Pid}}", "silvasonic-icecast"]);
    let of_process = |name: &str| {
        let output = podman.inside("cat").arg(format!("/proc/{pid}/{name}")).run();
        text(&output.stdout)
    };
    let status = of_process("status");
    assert_eq!(value(&status, "Uid:"), "65534\t65534\t65534\t65534");
    assert_eq!(value(&status, "NoNewPrivs:"), "1");
    for kind in ["Inh", "Prm", "Eff", "Bnd", "Amb"] {
        assert_eq!(value(&status, &format!("Cap{kind}:")), "0000000000000000", "{kind}");
    }
    assert!(value(&of_process("limits"), "Max open files").starts_with("1024 "));
    let mounts = of_process("mounts");
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap();
    assert!(root.split(' ').nth(3).unwrap().starts_with("ro,"), "{root}");

    podman.run(&["exec", "silvasonic-icecast", "/silvacast", "health"]);
    podman.run(&["healthcheck", "run", "silvasonic-icecast"]);
    // Another container finds it by its alias, as a Recorder does.
    let ask = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000", "--network=silvasonic-net"];
    let health = [image, "health", "--url", "http://icecast:8080/healthz"];
    podman.run(&[&["run", "--rm", "--cgroups=disabled"], &ask[..], &health[..]].concat());

    podman.on_its_network(|| {
        assert_eq!(get(&PORT, "/healthz").text(), "ok\n");
        let push = |password: &str| {
            let mut socket = connect(&PORT);
            let login = login(password);
            let head =
                format!("PUT /mic.opus HTTP/1.1\r\nHost: x\r\n{login}Expect: 100-continue\r\n\r\n");
            socket.write_all(head.as_bytes()).unwrap();
            (read_head(&mut socket).status, socket)
        };
        assert_eq!(push(ADMIN_PASSWORD).0, 401);
        let (answer, mut source) = push(SOURCE_PASSWORD);
        assert_eq!(answer, 100);
        source.write_all(&ogg::headers(1)).unwrap();
        source.write_all(&ogg::audio(1, 0, 100)).unwrap();
        assert_eq!(read_head(&mut source).status, 200);
        // With the prefix that Caddy passes on.
        let probe = "HEAD /mic.opus HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        until("the mount", PATIENCE, || {
            let status = request(&PORT, probe).status;
            when(status == 200, status)
        });
        let mut listener = Listener::join(&PORT, "/stream/mic.opus");
        listener.headers();
        assert!(listener.page().is_some());
    });

    podman.run(&["stop", "silvasonic-icecast"]);
    // The last line of an orderly end; a killed server does not write it.
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("event=\"stopped\""), "{said}");
}
