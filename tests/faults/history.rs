//! The checker's own log: what was sent, and how it was answered. It never asks the server what happened.

use std::collections::BTreeMap;

use tollgate_client::v1::{Completion, Decision, DenialReason, Durability, UsageEvent};

/// Everything that was sent in one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Counts moments: each sending and each answer has its own.
    clock: u64,
    pub(crate) calls: BTreeMap<Name, Vec<Call>>,
    pub(crate) completions: BTreeMap<Name, Vec<CompletionSent>>,
    /// By the reservation's id.
    pub(crate) ends: BTreeMap<Name, Vec<End>>,
    /// By the request's id.
    pub(crate) extensions: BTreeMap<Name, Vec<Extension>>,
    /// By the request's id.
    pub(crate) grants: BTreeMap<Name, Vec<GrantSent>>,
    /// Answers that no client should ever see.
    pub(crate) defects: Vec<String>,
    /// While the counters' store was away or lost what it knew.
    pub(crate) blinds: Vec<Blind>,
}

impl History {
    /// The next moment.
    pub(crate) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Whether marks and charges of what was on its way in that span may be gone (rules N, Q).
    pub(crate) fn is_blind(&self, span: Span) -> bool {
        self.blinds.iter().any(|blind| blind.span.overlaps(span))
    }
}

/// A time in which the counters' store forgot, or could not be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blind {
    pub(crate) span: Span,
    /// Microseconds since the epoch.
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) kind: Blindness,
}

impl Blind {
    /// Whether more may have been admitted than a limit says.
    pub(crate) fn harms_limits(&self) -> bool {
        self.kind != Blindness::JournalAway
    }

    /// The moments in which what was on its way was lost.
    pub(crate) const fn edges(&self) -> [Span; 2] {
        let Span { began, ended } = self.span;
        [Span { began, ended: began }, Span { began: ended, ended }]
    }
}

/// Why marks and charges could not be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blindness {
    /// What was on its way is not in the counters that were rebuilt.
    Lost,
    /// Besides, each replica decided by its own share.
    Away,
    /// Counters were there, and what they said was not made durable in time.
    JournalAway,
}

/// Something of a tenant: an event, a reservation, a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) tenant: String,
    pub(crate) id: String,
}

impl Name {
    pub(crate) fn new(tenant: &str, id: &str) -> Self {
        Self { tenant: tenant.to_owned(), id: id.to_owned() }
    }
}

/// From the sending to the answer, in ticks of the history.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

impl Span {
    /// Whether this was sent when that had been answered.
    pub(crate) const fn is_after(self, that: Self) -> bool {
        self.began > that.ended
    }

    /// Whether the two had a moment in common.
    pub(crate) const fn overlaps(self, that: Self) -> bool {
        self.began <= that.ended && that.began <= self.ended
    }
}

/// How an event was brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Decide,
    Record,
    Reserve { hold_micros: i64 },
}

/// One sending of an event.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) span: Span,
    pub(crate) event: UsageEvent,
    pub(crate) way: Way,
    pub(crate) answer: Answer,
}

/// How an event was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is kept, the server says.
    Kept(Kept),
    /// It was refused, and nothing was taken.
    Denied(DenialReason),
    /// The id was used with another content.
    Conflict,
    /// Nothing was taken, the server says.
    NotTaken,
    /// Nobody knows.
    Unknown,
}

/// An event that the server says it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) decision: Decision,
    pub(crate) charged_micros: i64,
    pub(crate) replayed: bool,
    pub(crate) durability: Durability,
    /// Empty: the event opened none.
    pub(crate) reservation: String,
}

impl Call {
    pub(crate) const fn kept(&self) -> Option<&Kept> {
        match &self.answer {
            Answer::Kept(kept) => Some(kept),
            Answer::Denied(_) | Answer::Conflict | Answer::NotTaken | Answer::Unknown => None,
        }
    }
}

/// One sending of an outcome.
#[derive(Clone, Debug)]
pub(crate) struct CompletionSent {
    pub(crate) span: Span,
    pub(crate) completion: Completion,
    pub(crate) answer: Ending,
}

/// How an outcome was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Done { replayed: bool },
    Conflict,
    NotFound,
    NotTaken,
    Unknown,
}

/// One sending of the end of a reservation.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) span: Span,
    pub(crate) kind: EndKind,
    pub(crate) answer: EndAnswer,
}

/// How a reservation was to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndKind {
    Settle { credits_micros: i64, status_code: i32 },
    Release,
}

/// How the end of a reservation was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndAnswer {
    Done {
        charged_micros: i64,
        replayed: bool,
    },
    /// It had ended otherwise, or was never there: the reason that the server gave.
    Gone(String),
    /// The price is above the hold.
    AboveHold,
    NotTaken,
    Unknown,
}

/// One sending of an extension.
#[derive(Clone, Debug)]
pub(crate) struct Extension {
    pub(crate) span: Span,
    pub(crate) reservation: String,
    /// Whether the server says that it extended before; `None`: refused, gone, or not known.
    pub(crate) replayed: Option<bool>,
}

/// One sending of a grant.
#[derive(Clone, Debug)]
pub(crate) struct GrantSent {
    pub(crate) credits_micros: i64,
    pub(crate) answer: GrantAnswer,
}

/// How a grant was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GrantAnswer {
    Granted { id: String },
    NotTaken,
    Unknown,
}
