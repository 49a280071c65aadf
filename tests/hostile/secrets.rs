//! No client can learn a secret or end the process.

use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::client::{
    Source, admin, connect, connect_from, exchange, get, get_with, login_as, read_head, request,
};
use crate::daemon::{Daemon, binary};
use crate::needs::{Need, needs};
use crate::process::Run;
use crate::report::Report;
use crate::{Attack, Effort};

pub(crate) const ATTACKS: &[Attack] = &[
    ("secrets: guessed tokens", guessed_tokens),
    ("secrets: in the log", in_the_log),
    ("secrets: links that end after the end of time", endless_links),
    ("secrets: guesses from everywhere", guesses_from_everywhere),
    ("secrets: hashes from everywhere", hashes_from_everywhere),
    ("secrets: bodies with two lengths", two_lengths),
];

const TOKEN: &str = "0123456789abcdef-right";

/// A server with a mount that needs a token.
fn with_tokens() -> (tempfile::TempDir, Daemon, Source) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    std::fs::write(&file, format!("web:{TOKEN}\n")).unwrap();
    let server = Daemon::with(
        "",
        &format!("[mount-defaults]\naccess = \"token\"\ntokens_file = \"{}\"", file.display()),
    );
    let source = Source::connect(&server, "/m", 1);
    (directory, server, source)
}

fn head_from(address: [u8; 4], server: &Daemon, target: &str) -> u16 {
    let mut socket = connect_from(address, server);
    write!(socket, "HEAD {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    read_head(&mut socket).status
}

fn guessed_tokens(report: &mut Report, _: Effort) {
    let (_directory, server, _source) = with_tokens();
    let right = format!("/m?token={TOKEN}");
    let (stranger, friend) = ([127, 0, 0, 9], [127, 0, 5, 9]);
    report.equal("who knows the token is let in", 200, head_from(friend, &server, &right));
    for address in [stranger, friend] {
        let guesses: Vec<_> =
            (0..6).map(|n| head_from(address, &server, &format!("/m?token={n:020}"))).collect();
        report.equal(
            "six guesses",
            "[401, 401, 401, 401, 401, 429]".to_owned(),
            format!("{guesses:?}"),
        );
    }
    report.equal("the right token after them", 429, head_from(stranger, &server, &right));
    report.equal("of a client that was in before", 200, head_from(friend, &server, &right));
    let forged = "/m?expires=99999999999&signature=AAAA";
    report.equal("a forged link after them", 429, head_from(stranger, &server, forged));
    // For two seconds, as fast as two connections allow.
    let (began, compared, refused) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut socket = connect_from(stranger, &server);
                while began.elapsed() < Duration::from_secs(2) {
                    let head = "HEAD /m?token=00000000000000000000 HTTP/1.1\r\nHost: x\r\n\r\n";
                    let status = exchange(&mut socket, head).status;
                    let count = if status == 429 { &refused } else { &compared };
                    count.fetch_add(1, SeqCst);
                }
            });
        }
    });
    report.equal("guesses that were compared meanwhile", 0, compared.into_inner());
    report.measured("guesses that were not", refused.into_inner());
}

fn in_the_log(report: &mut Report, _: Effort) {
    const SECRET: &str = "geheim-4711";
    let server = Daemon::with("", "");
    let _source = Source::connect(&server, "/m", 1);
    let requests = [
        format!("GET http://admin:{SECRET}@host/admin/stats HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET http://admin:{SECRET}@host/nothing.opus HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET http:/admin:{SECRET}@host/nothing.opus HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET //admin:{SECRET}@host/nothing.opus HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET admin:{SECRET}@host HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("PUT /nothing.opus%3Ftoken={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /nothing.opus%3Ftoken={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /nothing.opus%253Ftoken={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /nothing.opus&token={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /nothing.opus;token={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /nothing.opus?token={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /a/../nothing.opus%3Ftoken={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /admin/x&password={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /api/v1/mounts/x%3Ftoken={SECRET} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("{SECRET} /m HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!(
            "GET /m HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: {SECRET}\r\n\r\n"
        ),
        format!(
            "GET /admin/killsource?mount=/m%3Ftoken={SECRET} HTTP/1.1\r\nHost: x\r\n{}\r\n",
            admin()
        ),
    ];
    for text in &requests {
        let _ = request(&server, text);
    }
    // The log is in order: once it has this request, it has all of them.
    assert_eq!(get(&server, "/the-last").status, 404);
    server.wait_for_line(&["event=\"refused\"", "/the-last"]);
    report.measured("requests with a secret in the wrong place", requests.len());
    report.equal("lines with it", 0, server.count_lines(&[SECRET]));
    report.at_least("lines about them", 12, server.count_lines(&["event=\"refused\""]));
}

/// A clock that says 1970, or less than the time since the machine was started.
fn endless_links(report: &mut Report, _: Effort) {
    if !needs(&[Need::Root, Need::Program("unshare")]) {
        return;
    }
    let mut command = Command::new("unshare");
    // The monotonic clock is ahead of the wall clock.
    command
        .args(["--time", "--monotonic", "2000000000", "--fork", "--kill-child", "--"])
        .arg(binary());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    std::fs::write(&file, format!("web:{TOKEN}\n")).unwrap();
    let mut server = Daemon::of(
        command,
        "",
        &format!("[mount-defaults]\naccess = \"token\"\ntokens_file = \"{}\"", file.display()),
    );
    let _source = Source::connect(&server, "/m", 1);
    let mut statuses = Vec::new();
    for expires in [0, 1, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX] {
        let target = format!("/m?expires={expires}&signature=x");
        statuses.push(std::panic::catch_unwind(|| get(&server, &target).status).unwrap_or(0));
    }
    report.equal("answers", "[403, 403, 403, 403, 403]".to_owned(), format!("{statuses:?}"));
    report.equal("the process still runs", true, server.is_running());
}

fn guesses_from_everywhere(report: &mut Report, _: Effort) {
    let server = Daemon::with("", "");
    let stats = |address, password: &str| {
        let mut socket = connect_from(address, &server);
        let login = login_as("admin", password);
        write!(socket, "GET /admin/stats HTTP/1.1\r\nHost: x\r\n{login}Connection: close\r\n\r\n")
            .unwrap();
        read_head(&mut socket).status
    };
    // Each address is in another network.
    let address = |n: usize| [127, 10 + (n / 250) as u8, (n % 250) as u8, 1];
    for n in 0..1_100 {
        (0..5).for_each(|_| _ = stats(address(n), "wrong"));
    }
    let not_locked: usize = (0..1_100).filter(|&n| stats(address(n), "wrong") != 429).count();
    report.equal("of 1,100 addresses, those that may guess on", 0, not_locked);
}

fn hashes_from_everywhere(report: &mut Report, _: Effort) {
    if !needs(&[Need::Program("htpasswd")]) {
        return;
    }
    let made = Command::new("htpasswd").args(["-nbB", "-C", "11", "anna", "right"]).run();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users");
    std::fs::write(&file, made.stdout).unwrap();
    let server = Daemon::with(
        "",
        &format!(
            "[mount-defaults]\naccess = \"password\"\nlisteners_file = \"{}\"",
            file.display()
        ),
    );
    let _source = Source::connect(&server, "/m", 1);
    // Twenty addresses of one network ask for as many checks as they can.
    let asked: Vec<_> = (0..80)
        .map(|n: u8| {
            let mut socket = connect_from([127, 0, 7, 1 + n % 20], &server);
            let login = login_as("anna", &format!("wrong-{n}"));
            write!(socket, "GET /m HTTP/1.1\r\nHost: x\r\n{login}\r\n").unwrap();
            socket
        })
        .collect();
    let mut socket = connect_from([127, 0, 8, 1], &server);
    write!(socket, "HEAD /m HTTP/1.1\r\nHost: x\r\n{}\r\n", login_as("anna", "right")).unwrap();
    let began = Instant::now();
    report.equal("a user who is not yet known is let in", 200, read_head(&mut socket).status);
    report.measured("seconds until then", crate::seconds(began.elapsed()));
    let long = format!("right{}", "x".repeat(70));
    let answer = get_with(&server, "/m", &login_as("anna", &long));
    report.equal("a password that bcrypt would not look at whole", 401, answer.status);
    report.equal("is said to be too long", true, answer.text().contains("at most 72 bytes"));
    drop(asked);
}

fn two_lengths(report: &mut Report, _: Effort) {
    let server = Daemon::with("", "");
    let _source = Source::connect(&server, "/m", 1);
    for (fields, status) in [
        ("Content-Length: 0\r\nContent-Length: 44\r\n", 400),
        ("Content-Length: 44\r\nContent-Length: 0\r\n", 400),
        ("Content-Length: 0, 44\r\n", 400),
        ("Content-Length: 0\r\nContent-Length: 0\r\n", 200),
    ] {
        for path in ["/healthz", "/m"] {
            let mut socket = connect(&server);
            write!(socket, "HEAD {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").unwrap();
            report.equal(
                &format!("{path}, {}", fields.trim().replace("\r\n", ", ")),
                status,
                read_head(&mut socket).status,
            );
        }
    }
}
