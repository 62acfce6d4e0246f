//! Files that were damaged, cut off, or never ours.

use std::fs;
use std::path::PathBuf;

use super::*;

const LAYOUT: Layout = Layout {
    application_id: 0x0102_0304,
    version: 2,
    upgrades: &["CREATE TABLE later (x INTEGER);"],
    schema: &[
        "CREATE TABLE one (number INTEGER PRIMARY KEY, body BLOB) STRICT;",
        "CREATE TABLE two (a TEXT);",
    ],
    durability: Durability::OnSync,
};

const ROWS: i64 = 200;

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.db");
    (directory, path)
}

/// A file with rows, closed.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let (directory, path) = place();
    fill(&Database::open(&path, &LAYOUT).unwrap());
    (directory, path)
}

fn fill(database: &Database) {
    let insert = |db: &Connection| {
        for number in 0..ROWS {
            db.execute("INSERT INTO one VALUES (?, randomblob(1000))", [number])?;
        }
        Ok(())
    };
    database.write_now(insert).unwrap();
}

fn count(database: &Database) -> i64 {
    database.read_now(|db| db.query_row("SELECT count(*) FROM one", [], |row| row.get(0))).unwrap()
}

/// Tries to open a file, and answers what is wrong with it. The file is left as it was.
fn refused(path: &Path) -> OpenError {
    let before = fs::read(path).unwrap();
    let error = Database::open(path, &LAYOUT).unwrap_err();
    assert_eq!(fs::read(path).unwrap(), before, "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn new_file_belongs_to_its_owner_alone_and_opens_again() {
    let (_directory, path) = place();
    let database = Database::open(&path, &LAYOUT).unwrap();
    fill(&database);
    let log = PathBuf::from(format!("{}-wal", path.display()));
    assert_eq!((mode(&path), mode(&log)), (0o600, 0o600));
    drop(database);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(count(&Database::open(&path, &LAYOUT).unwrap()), ROWS);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn what_is_no_database_is_told() {
    let (_directory, path) = place();
    for content in ["x", "hello", &"no database ".repeat(1_000)] {
        fs::write(&path, content).unwrap();
        assert!(matches!(refused(&path), OpenError::NotADatabase { .. }), "{content:.20}");
    }
}

#[test]
fn file_of_another_program_is_left_alone() {
    let (_directory, path) = place();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    assert!(matches!(refused(&path), OpenError::Foreign { found: 0, expected: 0x0102_0304, .. }));
    let (_directory, path) = filled();
    let ours = Layout { application_id: 5, ..LAYOUT };
    let error = Database::open(&path, &ours).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { found: 0x0102_0304, expected: 5, .. }));
}

#[test]
fn file_of_a_later_release_is_refused_with_both_versions() {
    let (_directory, path) = place();
    drop(Database::open(&path, &Layout { version: 7, ..LAYOUT }).unwrap());
    let error = refused(&path);
    assert!(matches!(error, OpenError::Newer { found: 7, known: 2, .. }));
    assert!(error.to_string().contains("version 7") && error.to_string().contains("up to 2"), "{error}");
}

#[test]
fn file_of_an_earlier_release_is_brought_up_to_date_once_with_all_that_is_in_it() {
    let (_directory, path) = place();
    let earlier = Layout { version: 1, ..LAYOUT };
    fill(&Database::open(&path, &earlier).unwrap());
    let tables = |database: &Database| {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'later'";
        database.read_now(|db| db.query_row(sql, [], |row| row.get::<_, i64>(0))).unwrap()
    };
    for _ in 0..2 {
        let database = Database::open(&path, &LAYOUT).unwrap();
        assert_eq!((tables(&database), count(&database)), (1, ROWS));
    }
    let error = Database::open(&path, &earlier).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }));
}

#[test]
fn file_that_was_cut_off_anywhere_is_told() {
    let (_directory, path) = filled();
    let whole = fs::read(&path).unwrap();
    for length in [20, 99, 100, 4_095, 4_096, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = refused(&path);
        assert!(
            matches!(error, OpenError::Truncated { found, .. } if found == length as u64),
            "{length}: {error}"
        );
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(count(&Database::open(&path, &LAYOUT).unwrap()), ROWS);
}

#[test]
fn empty_file_whose_log_is_left_is_not_taken_for_new() {
    let (_directory, path) = place();
    let database = Database::open(&path, &LAYOUT).unwrap();
    fill(&database);
    let log = format!("{}-wal", path.display());
    let (_other, copy) = place();
    fs::copy(&log, format!("{}-wal", copy.display())).unwrap();
    let error = Database::open(&copy, &LAYOUT).unwrap_err();
    assert!(matches!(error, OpenError::Truncated { found: 0, .. }), "{error}");
}

#[test]
fn damaged_page_is_found() {
    let (_directory, path) = filled();
    let whole = fs::read(&path).unwrap();
    let pages = whole.len() / 4_096;
    for page in [1, 2, pages / 2] {
        let mut damaged = whole.clone();
        damaged[page * 4_096..page * 4_096 + 200].fill(0xab);
        fs::write(&path, damaged).unwrap();
        assert!(matches!(refused(&path), OpenError::Damaged { .. }), "page {page}");
    }
}

#[test]
fn what_was_committed_survives_the_end_of_the_process() {
    let (_directory, path) = place();
    let database = Database::open(&path, &LAYOUT).unwrap();
    fill(&database);
    // The files as a killed process leaves them: nothing is folded in.
    let (_other, copy) = place();
    for suffix in ["", "-wal"] {
        fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).unwrap();
    }
    assert_eq!(count(&Database::open(&copy, &LAYOUT).unwrap()), ROWS);
}

#[test]
fn failed_write_changes_nothing() {
    let (_directory, path) = filled();
    let database = Database::open(&path, &LAYOUT).unwrap();
    let fails = |db: &Connection| {
        db.execute("DELETE FROM one", [])?;
        db.execute("INSERT INTO nowhere VALUES (1)", [])
    };
    assert!(matches!(database.write_now(fails), Err(StoreError::Unavailable(_))));
    assert_eq!(count(&database), ROWS);
}

#[test]
fn readers_cannot_write() {
    let (_directory, path) = filled();
    let database = Database::open(&path, &LAYOUT).unwrap();
    assert!(database.read_now(|db| db.execute("DELETE FROM one", [])).is_err());
    assert_eq!(count(&database), ROWS);
}
