//! `run`, as a user meets it.

#[macro_use]
mod support;

use support::outcome;

#[test]
fn the_command_is_process_1_and_root() {
    let ground = ground!();
    let out = ground.sh(&[], "echo $$; id -u; id -g; exit 3");
    assert_eq!((out.status, out.stdout.as_str()), (3, "1\n0\n0\n"), "{}", out.stderr);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn every_exit_status_passes() {
    let ground = ground!();
    for status in [0, 1, 2, 77, 125, 126, 127, 128, 255] {
        assert_eq!(outcome(&mut ground.run(["sh", "-c", &format!("exit {status}")])).status, status);
    }
}
