//! `docs/compatibility.md` is true: its table names every operation with the state it really has.

use stint_wire::fc::operation::{OPERATIONS, State};

#[test]
fn the_table_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
    let page = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let listed: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    for operation in OPERATIONS {
        let row = rows.iter().find(|row| row[0].trim_matches('`') == operation.name);
        let row = row.unwrap_or_else(|| panic!("{} is not in the table", operation.name));
        let address = format!("`{} {}`", operation.method, operation.path);
        assert_eq!(row[1], address, "{}", operation.name);
        let state = match operation.state {
            State::Built => "built",
            State::Later => "later: 501",
        };
        assert_eq!(row[2], state, "{}", operation.name);
    }
    assert_eq!(listed.len(), OPERATIONS.len(), "a row for an operation that is none");
}
