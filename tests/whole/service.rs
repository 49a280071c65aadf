//! The unit that is shipped, under a real systemd.

use crate::needs::{Need, needs};
use crate::pen::Pen;

const UNIT: &str = "silvacast.service";
const HEALTH: &str = "http://127.0.0.1:8080/healthz";

#[test]
fn the_shipped_unit_starts_serves_and_stops() {
    if !needs(&[Need::Root, Need::Systemd]) {
        return;
    }
    let pen = Pen::start();
    pen.install();
    pen.ok(&["systemctl", "enable", "--now", UNIT]);
    assert_eq!(pen.property(UNIT, "ActiveState"), "active");
    assert_eq!(pen.ok(&["curl", "--silent", "--show-error", "--fail", HEALTH]).trim(), "ok");
    let process = format!("/proc/{}", pen.property(UNIT, "MainPID"));
    let user = pen.ok(&["stat", "--format=%U", &process]);
    assert_eq!(user.trim(), "silvacast", "the unit's dynamic user");

    pen.ok(&["systemctl", "stop", UNIT]);
    assert_eq!(pen.property(UNIT, "ActiveState"), "inactive");
    assert_eq!(pen.property(UNIT, "Result"), "success");
    assert_eq!(pen.property(UNIT, "ExecMainStatus"), "0");
    assert!(!pen.run(&["curl", "--silent", HEALTH]).status.success());
    let said = pen.journal(&["--unit", UNIT]);
    assert!(said.iter().any(|entry| entry["JOB_TYPE"] == "stop" && entry["JOB_RESULT"] == "done"));
}

#[test]
fn it_comes_back_however_it_ends() {
    if !needs(&[Need::Root, Need::Systemd]) {
        return;
    }
    let pen = Pen::start();
    pen.install();
    pen.ok(&["systemctl", "start", UNIT]);
    let first = pen.property(UNIT, "MainPID");
    pen.ok(&["systemctl", "kill", "--signal=KILL", UNIT]);
    let second = pen.wait_for("another start", |pen| {
        let restarted = pen.property(UNIT, "NRestarts") == "1";
        (restarted && pen.property(UNIT, "ActiveState") == "active")
            .then(|| pen.property(UNIT, "MainPID"))
    });
    assert_ne!(first, second);
    assert_eq!(pen.ok(&["curl", "--silent", "--show-error", "--fail", HEALTH]).trim(), "ok");
}
