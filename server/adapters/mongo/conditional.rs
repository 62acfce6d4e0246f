//! Documents that are replaced only where their revision is still the one that was read: many in one command, each on its own.

use std::collections::{HashMap, HashSet};

use mongodb::Collection;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};

use crate::adapters::mongo::connect::MongoStore;
use crate::adapters::mongo::convert::{Fields, signed};
use crate::adapters::mongo::failure::{duplicate_statements, duplicates, nonsense};
use crate::store::StoreError;

/// The name under which a document has its revision.
pub(super) const REVISION: &str = "revision";
/// Who made the last replacements, by revision, modulo [`WRITERS_KEPT`]: one that was at once replaced again is still known.
const WRITERS: &str = "writers";
const WRITERS_KEPT: u64 = 4;
/// Documents in one command.
const COUNT_MAX: usize = 1_000;
/// Bytes of documents in one command, about; a command is a document itself, of at most 16 MiB.
const BYTES_MAX: usize = 6 * 1024 * 1024;

/// A document as it is to be.
#[derive(Debug)]
pub(super) struct Replacement {
    /// Its id.
    pub(super) id: String,
    /// The revision that it must have; 0: it must not be there.
    pub(super) revision: u64,
    /// Its fields.
    pub(super) fields: Document,
    /// How large they are, about.
    pub(super) bytes: usize,
}

/// Replaces each document whose revision is still the given one; answers which were, in order. A document whose unique
/// value is another's is not. May be made again: what was replaced has another revision then.
pub(super) async fn replace(
    store: &MongoStore,
    collection: &Collection<Document>,
    replacements: Vec<Replacement>,
) -> Result<Vec<bool>, StoreError> {
    let mut replaced = vec![false; replacements.len()];
    for group in groups(replacements) {
        let (new, old): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|(_, replacement)| replacement.revision == 0);
        for place in insert(store, collection, new).await? {
            replaced[place] = true;
        }
        for place in update(store, collection, old).await? {
            replaced[place] = true;
        }
    }
    Ok(replaced)
}

/// In their order, in groups that fit a command and have no document twice, each with its place.
fn groups(replacements: Vec<Replacement>) -> Vec<Vec<(usize, Replacement)>> {
    let mut groups = Vec::new();
    let (mut group, mut ids, mut bytes) = (Vec::new(), HashSet::new(), 0_usize);
    for (place, replacement) in replacements.into_iter().enumerate() {
        let is_full = group.len() >= COUNT_MAX || bytes.saturating_add(replacement.bytes) > BYTES_MAX;
        if is_full || ids.contains(&replacement.id) {
            groups.push(std::mem::take(&mut group));
            ids.clear();
            bytes = 0;
        }
        bytes = bytes.saturating_add(replacement.bytes);
        ids.insert(replacement.id.clone());
        group.push((place, replacement));
    }
    groups.push(group);
    groups
}

/// Answers the places of those that were not there.
async fn insert(
    store: &MongoStore,
    collection: &Collection<Document>,
    new: Vec<(usize, Replacement)>,
) -> Result<Vec<usize>, StoreError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let (places, documents): (Vec<_>, Vec<_>) = new
        .into_iter()
        .map(|(place, replacement)| {
            let mut document = doc! { "_id": replacement.id, REVISION: 1_i64 };
            document.extend(replacement.fields);
            (place, document)
        })
        .unzip();
    let inserted = store.run(collection.insert_many(documents).ordered(false)).await;
    let taken = duplicates(inserted.map(drop))?;
    let free = places.into_iter().enumerate().filter(|(index, _)| !taken.contains(index));
    Ok(free.map(|(_, place)| place).collect())
}

/// Answers the places of those whose revision was the given one.
async fn update(
    store: &MongoStore,
    collection: &Collection<Document>,
    old: Vec<(usize, Replacement)>,
) -> Result<Vec<usize>, StoreError> {
    if old.is_empty() {
        return Ok(Vec::new());
    }
    let writer = ObjectId::new();
    let (mut statements, mut written) = (Vec::with_capacity(old.len()), Vec::with_capacity(old.len()));
    for (place, replacement) in old {
        let next = replacement.revision.saturating_add(1);
        let mut fields = replacement.fields;
        fields.insert(REVISION, signed(next)?);
        fields.insert(writer_field(next), writer);
        let statement = doc! {
            "q": { "_id": &replacement.id, REVISION: signed(replacement.revision)? },
            "u": { "$set": fields },
        };
        statements.push(statement);
        written.push(Written { place, id: replacement.id, revision: next });
    }
    let count = statements.len();
    let command = doc! {
        "update": collection.name(),
        "updates": statements,
        "ordered": false,
        "writeConcern": store.write_concern(),
    };
    let reply = store.command(command).await?;
    let taken = duplicate_statements(&reply)?;
    let matched =
        reply.get_i32("n").map_err(|_| nonsense("an `update` that says nothing of its documents"))?;
    if usize::try_from(matched) == Ok(count) {
        return Ok(written.into_iter().map(|written| written.place).collect());
    }
    let written = written.into_iter().enumerate().filter(|(index, _)| !taken.contains(index));
    which(store, collection, writer, written.map(|(_, written)| written).collect()).await
}

/// A document that was to be written at a revision.
struct Written {
    place: usize,
    id: String,
    revision: u64,
}

/// The reply counts those that were replaced and does not name them: they say it themselves.
async fn which(
    store: &MongoStore,
    collection: &Collection<Document>,
    writer: ObjectId,
    written: Vec<Written>,
) -> Result<Vec<usize>, StoreError> {
    let ids: Vec<_> = written.iter().map(|written| written.id.clone()).collect();
    let kept = store.find(collection, doc! { "_id": { "$in": ids } }, Some(doc! { WRITERS: 1 })).await?;
    let mut writers = HashMap::with_capacity(kept.len());
    for kept in kept {
        let id = Fields(kept.clone()).text("_id")?.to_owned();
        writers.insert(id, kept);
    }
    let is_ours = |written: &Written| {
        let writers = writers.get(&written.id).and_then(|kept| kept.get_document(WRITERS).ok());
        let name = writer_name(written.revision);
        writers.and_then(|writers| writers.get_object_id(name).ok()) == Some(writer)
    };
    Ok(written.iter().filter(|written| is_ours(written)).map(|written| written.place).collect())
}

fn writer_field(revision: u64) -> String {
    format!("{WRITERS}.{}", writer_name(revision))
}

fn writer_name(revision: u64) -> String {
    format!("r{}", revision % WRITERS_KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replacement(id: &str, bytes: usize) -> Replacement {
        Replacement { id: id.to_owned(), revision: 1, fields: Document::new(), bytes }
    }

    #[test]
    fn a_group_fits_a_command_and_has_no_document_twice() {
        let check = |replacements: Vec<Replacement>, expected: &[&[usize]]| {
            let places: Vec<Vec<_>> = groups(replacements)
                .into_iter()
                .map(|group| group.into_iter().map(|(place, _)| place).collect())
                .collect();
            assert_eq!(places, expected);
        };
        check(vec![replacement("a", 1), replacement("b", 1), replacement("a", 1)], &[&[0, 1], &[2]]);
        let large = BYTES_MAX / 2 + 1;
        check(vec![replacement("a", large), replacement("b", large)], &[&[0], &[1]]);
        let many: Vec<_> = (0..=COUNT_MAX).map(|number| replacement(&number.to_string(), 1)).collect();
        let all: Vec<_> = (0..COUNT_MAX).collect();
        check(many, &[&all, &[COUNT_MAX]]);
    }
}
