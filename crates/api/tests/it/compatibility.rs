//! `docs/compatibility.md` is true: its tables name every operation with the state it really has.

use stint_wire::fc::operation::State;
use stint_wire::{fc, fnf, sfn};

/// The rows under a heading, cell by cell.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading));
    section
        .unwrap_or_else(|| panic!("no section '{heading}'"))
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
    std::fs::read_to_string(path).expect("the page is there")
}

/// Each operation has its row, and there is no other.
fn compare(heading: &str, operations: &[(&str, String, &str)]) {
    let page = page();
    let rows = rows(&page, heading);
    for (name, about, state) in operations {
        let row = rows.iter().find(|row| row[0].trim_matches('`') == *name);
        let row = row.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert_eq!((row[1], row[2]), (about.as_str(), *state), "{name}");
    }
    assert_eq!(rows.len(), operations.len(), "a row for an operation that is none");
}

#[test]
fn the_table_of_function_compute_is_true() {
    let operations = fc::operation::OPERATIONS.iter().map(|operation| {
        let state = match operation.state {
            State::Built => "built",
            State::Later => "later: 501",
        };
        (operation.name, format!("`{} {}`", operation.method, operation.path), state)
    });
    compare("The operations of Function Compute", &operations.collect::<Vec<_>>());
}

#[test]
fn the_table_of_fnf_is_true() {
    let operations = fnf::operation::OPERATIONS.iter();
    let operations: Vec<_> = operations
        .map(|operation| (operation.name, operation.method.to_owned(), "built"))
        .collect();
    compare("The operations of the workflow service", &operations);
}

#[test]
fn the_table_of_step_functions_is_true() {
    let operations = sfn::operation::OPERATIONS.iter().map(|operation| {
        let state = match operation.state {
            State::Built => "built",
            State::Later => "later: 501",
        };
        (operation.name, operation.group.to_owned(), state)
    });
    compare("The operations of Step Functions", &operations.collect::<Vec<_>>());
}
