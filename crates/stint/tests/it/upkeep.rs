//! Backup of a running server, verify, restore into an empty directory.

use crate::house::{House, stint};

#[test]
fn a_backup_of_a_running_server_is_whole_and_starts_again() {
    let house = House::start();
    house.deploy("echo", "def handler(e, c):\n    return e\n", "");
    house.ok(&["task", "submit", "echo", "before", "--task-id", "before", "--wait"]);
    let copy = house.file("copy");
    let copy_text = copy.to_str().unwrap();
    house.ok(&["backup", copy_text]);
    house.ok(&["task", "submit", "echo", "after", "--task-id", "after", "--wait"]);
    let checked = house.json(&["verify", copy_text]);
    assert_eq!(checked["problems"].as_array().map(Vec::len), Some(0), "{checked}");
    assert_eq!(house.fails(&["backup", copy_text]).0, 1, "nothing is overwritten");

    let target = tempfile::tempdir().unwrap();
    let restore =
        |into: &std::path::Path| stint(into).args(["restore", copy_text]).output().unwrap();
    let output = restore(target.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The master key is not part of a backup: whoever restores brings it.
    assert!(!target.path().join("master.key").exists());
    std::fs::copy(house.file("master.key"), target.path().join("master.key")).unwrap();
    let output = restore(house.data());
    assert!(!output.status.success(), "a directory in use is not overwritten");

    std::fs::copy(house.file("credentials.json"), target.path().join("credentials.json")).unwrap();
    let again = House::start_in(target, &[]);
    assert_eq!(again.ok(&["task", "get", "echo/before", "--result"]), "before");
    assert_eq!(again.fails(&["task", "get", "echo/after"]).0, 3);
    assert_eq!(again.ok(&["invoke", "echo", "still here"]), "still here");
}

#[test]
fn a_damaged_copy_is_told() {
    let house = House::start();
    house.deploy("echo", "def handler(e, c):\n    return e\n", "");
    let copy = house.file("copy");
    house.ok(&["backup", copy.to_str().unwrap()]);
    let book = copy.join("book.db");
    let mut bytes = std::fs::read(&book).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 512].fill(0xa5);
    std::fs::write(&book, bytes).unwrap();
    let (code, _) = house.fails(&["verify", copy.to_str().unwrap()]);
    assert_eq!(code, 1);
}
