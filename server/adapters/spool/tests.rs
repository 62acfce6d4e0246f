//! A spool that is cut, damaged, filled and emptied.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const BYTES_MAX: u64 = 1024 * 1024 * 1024;

async fn open(directory: &Path) -> FileSpool {
    FileSpool::open(directory, BYTES_MAX).await.expect("a sound spool")
}

async fn append(spool: &FileSpool, records: &str) -> u64 {
    spool.append(Bytes::copy_from_slice(records.as_bytes())).await.expect("room")
}

/// All that waits, which is forgotten.
async fn drain(spool: &FileSpool) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    while let Some(front) = spool.front().await.expect("an answer") {
        all.push((front.ticket, String::from_utf8(front.records.to_vec()).expect("what was put in")));
        spool.forget(front.ticket).await.expect("an answer");
    }
    assert_eq!(spool.bytes(), 0);
    all
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn directory_and_files_are_their_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (name, is_there) in [("new", false), ("old", true)] {
        let directory = parent.path().join(name);
        if is_there {
            std::fs::create_dir(&directory).unwrap();
            std::fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        }
        append(&open(&directory).await, "a").await;
        assert_eq!(mode(&directory), 0o700, "{name}");
        for file in files(&directory) {
            assert_eq!(mode(&file), 0o600, "{name}: {}", file.display());
        }
    }
}

#[tokio::test]
async fn batches_come_back_in_order_and_tickets_only_grow() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..3 {
        let spool = open(directory.path()).await;
        assert!(spool.front().await.unwrap().is_none());
        let mut expected = Vec::new();
        for text in ["a", "", "ccc"] {
            let ticket = append(&spool, text).await;
            assert!(ticket > last, "round {round}");
            last = ticket;
            expected.push((ticket, text.to_owned()));
        }
        assert_eq!(spool.bytes(), 4);
        let spool = open(directory.path()).await;
        assert_eq!(spool.bytes(), 4);
        spool.forget(expected[0].0).await.unwrap();
        spool.forget(expected[0].0).await.unwrap();
        let spool = open(directory.path()).await;
        assert_eq!(spool.bytes(), 3, "what was forgotten stays forgotten");
        assert_eq!(drain(&spool).await, expected[1..], "round {round}");
        assert_eq!(files(directory.path()).len(), 1, "what is empty takes no room");
    }
}

#[tokio::test]
async fn what_is_cut_off_anywhere_leaves_all_that_was_whole() {
    let texts = ["first", "second", "third", "fourth"];
    let full = tempfile::tempdir().unwrap();
    let spool = open(full.path()).await;
    let mut ends = vec![0];
    for text in texts {
        append(&spool, text).await;
        ends.push(std::fs::metadata(&files(full.path())[0]).unwrap().len());
    }
    let bytes = std::fs::read(&files(full.path())[0]).unwrap();
    for cut in 0..=bytes.len() {
        for filling in [&[][..], &[0; 3], &[0; 64]] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(files(full.path())[0].file_name().unwrap());
            std::fs::write(&path, [&bytes[..cut], filling].concat()).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
            let spool = open(directory.path()).await;
            let added = append(&spool, "added").await;
            drop(spool);
            let found = drain(&open(directory.path()).await).await;
            let expected = texts[..whole].iter().copied().chain(["added"]);
            assert!(found.iter().map(|(_, text)| text.as_str()).eq(expected), "cut at {cut}: {found:?}");
            assert_eq!(added, whole as u64 + 1);
        }
    }
}

#[tokio::test]
async fn damage_is_refused_and_left_as_it_is() {
    let texts = ["first", "second", "third"];
    let full = tempfile::tempdir().unwrap();
    let spool = open(full.path()).await;
    for text in &texts[..2] {
        append(&spool, text).await;
    }
    let last = std::fs::metadata(&files(full.path())[0]).unwrap().len();
    append(&spool, texts[2]).await;
    let path = files(full.path()).remove(0);
    let bytes = std::fs::read(&path).unwrap();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let directory = tempfile::tempdir().unwrap();
            let damaged = directory.path().join(path.file_name().unwrap());
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            std::fs::write(&damaged, &changed).unwrap();
            let opened = FileSpool::open(directory.path(), BYTES_MAX).await;
            if (place as u64) < last {
                assert!(matches!(opened, Err(OpenError::Damaged { .. })), "byte {place}, bit {bit}");
                assert_eq!(std::fs::read(&damaged).unwrap(), changed);
            } else {
                // It cannot be told from one that was not wholly written.
                let found = drain(&opened.unwrap()).await;
                assert_eq!(found.len(), 2, "byte {place}, bit {bit}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_above_the_bound_is_refused_until_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let spool = FileSpool::open(directory.path(), 10).await.unwrap();
    let first = append(&spool, "12345").await;
    append(&spool, "67890").await;
    for _ in 0..2 {
        let full = spool.append(Bytes::from_static(b"x")).await;
        assert!(matches!(full, Err(SpoolError::Full { bytes_max: 10 })), "{full:?}");
    }
    spool.forget(first).await.unwrap();
    append(&spool, "x").await;
    assert_eq!(spool.bytes(), 6);
    assert_eq!(drain(&spool).await.len(), 2, "what was kept made no room");
}

#[tokio::test]
async fn segments_go_when_all_of_theirs_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(directory.path()).await;
    let large = "x".repeat(6 * 1024 * 1024);
    for _ in 0..7 {
        append(&spool, &large).await;
    }
    let segments = files(directory.path());
    assert_eq!(segments.len(), 3);
    spool.forget(5).await.unwrap();
    assert_eq!(files(directory.path()), segments[1..], "the fourth to sixth stand in one");
    spool.forget(6).await.unwrap();
    assert_eq!(files(directory.path()), segments[2..]);
    assert_eq!(spool.front().await.unwrap().unwrap().ticket, 7);

    append(&spool, "last").await;
    drop(spool);
    assert_eq!(drain(&open(directory.path()).await).await.len(), 2);
}

#[tokio::test]
async fn a_segment_that_is_gone_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(directory.path()).await;
    let large = "x".repeat(9 * 1024 * 1024);
    for _ in 0..5 {
        append(&spool, &large).await;
    }
    drop(spool);
    let segments = files(directory.path());
    assert_eq!(segments.len(), 3);
    std::fs::remove_file(&segments[1]).unwrap();
    let opened = FileSpool::open(directory.path(), BYTES_MAX).await;
    assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{opened:?}");
}
