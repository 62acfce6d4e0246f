//! What a journal holds: one record for each thing that happened, as it is kept on disk.

use crate::ledger::event::{Event, Outcome};

/// One thing that happened to one tenant.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// The tenant.
    #[prost(string, tag = "1")]
    pub tenant: String,
    /// When it was decided by the counters' clock, in microseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub at_micros: i64,
    /// The number of the counters' change (rule L); 0: they were not changed.
    #[prost(uint64, tag = "3")]
    pub number: u64,
    /// The counters' epoch (rule L).
    #[prost(uint64, tag = "4")]
    pub counter_epoch: u64,
    /// First half of the key under which it exists once (rule H).
    #[prost(fixed64, tag = "5")]
    pub key_high: u64,
    /// Second half.
    #[prost(fixed64, tag = "6")]
    pub key_low: u64,
    /// First half of the hash of its content (rule Q).
    #[prost(fixed64, tag = "7")]
    pub payload_high: u64,
    /// Second half.
    #[prost(fixed64, tag = "8")]
    pub payload_low: u64,
    /// What happened.
    #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14, 15, 16")]
    pub body: Option<Body>,
}

/// What happened.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    /// A call was counted.
    #[prost(message, tag = "10")]
    Usage(Usage),
    /// A call was refused (rule D).
    #[prost(message, tag = "11")]
    Refusal(Refusal),
    /// An outcome was added to an event.
    #[prost(message, tag = "12")]
    Completion(Completion),
    /// A reservation was extended.
    #[prost(message, tag = "13")]
    Extension(Extension),
    /// A reservation ended (rule T).
    #[prost(message, tag = "14")]
    End(End),
    /// Credits were granted (rule S).
    #[prost(message, tag = "15")]
    Grant(GrantPosted),
    /// A grant's time ended: what is left of it is breakage (rules I, S).
    #[prost(message, tag = "16")]
    Breakage(Breakage),
}

/// A call that was counted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Usage {
    /// How it was tracked.
    #[prost(enumeration = "Mode", tag = "1")]
    pub mode: i32,
    /// What was sent.
    #[prost(message, required, tag = "2")]
    pub event: Event,
    /// The tenant's key that made the call; empty: none.
    #[prost(string, tag = "3")]
    pub api_key_id: String,
    /// The plan's slug.
    #[prost(string, tag = "4")]
    pub plan: String,
    /// The plan's version.
    #[prost(uint32, tag = "5")]
    pub plan_version: u32,
    /// Counters before and after (rule U).
    #[prost(message, repeated, tag = "6")]
    pub charges: Vec<Charge>,
    /// Grants that paid, or that hold (rule S).
    #[prost(message, repeated, tag = "7")]
    pub burns: Vec<GrantBurn>,
    /// What no grant covered, in micro-credits.
    #[prost(int64, tag = "8")]
    pub overage_micros: i64,
    /// The price, or the hold, in micro-credits.
    #[prost(int64, tag = "9")]
    pub price_micros: i64,
    /// The first moment of the billing period, in microseconds since the epoch.
    #[prost(int64, tag = "10")]
    pub period_start_micros: i64,
    /// The first moment of the next one.
    #[prost(int64, tag = "12")]
    pub period_end_micros: i64,
    /// The reservation that it opened: then `burns` and `price_micros` are held, not paid.
    #[prost(message, optional, tag = "11")]
    pub hold: Option<Hold>,
    /// Whether it was decided while the counters were away.
    #[prost(bool, tag = "13")]
    pub degraded: bool,
}

/// How an event was tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Mode {
    /// It was decided about.
    Decide = 0,
    /// It had happened.
    Record = 1,
    /// It is history: events and rollups only (rule R).
    Import = 2,
}

/// One counter before and after.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Charge {
    /// The limit's key.
    #[prost(fixed64, tag = "1")]
    pub limit_key: u64,
    /// The key or consumer that it counts; empty: the tenant.
    #[prost(string, tag = "2")]
    pub member: String,
    /// The limit's name in the plan.
    #[prost(string, tag = "3")]
    pub name: String,
    /// How it counts.
    #[prost(enumeration = "ChargeKind", tag = "4")]
    pub kind: i32,
    /// Units charged.
    #[prost(int64, tag = "5")]
    pub units: i64,
    /// Units used before.
    #[prost(int64, tag = "6")]
    pub used_before: i64,
    /// Units used after.
    #[prost(int64, tag = "7")]
    pub used_after: i64,
    /// The limit at that moment; `None`: unlimited.
    #[prost(int64, optional, tag = "8")]
    pub limit: Option<i64>,
    /// The window's length in microseconds.
    #[prost(int64, tag = "9")]
    pub window_micros: i64,
    /// As `gate::decision::CounterCharge::mark`.
    #[prost(int64, tag = "10")]
    pub mark_micros: i64,
}

/// How a charged counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum ChargeKind {
    /// A sliding window.
    Sliding = 0,
    /// A token bucket.
    Bucket = 1,
    /// A fixed window.
    Fixed = 2,
    /// A quota.
    Quota = 3,
}

/// What one grant paid, holds or got back.
#[derive(Clone, PartialEq, Eq, prost::Message, serde::Serialize)]
pub struct GrantBurn {
    /// The grant's id.
    #[prost(string, tag = "1")]
    pub grant: String,
    /// How much, in micro-credits.
    #[prost(int64, tag = "2")]
    pub micros: i64,
}

/// The reservation that an event opened.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Hold {
    /// Its id.
    #[prost(string, tag = "1")]
    pub reservation: String,
    /// When it ends by itself, in microseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub expires_at_micros: i64,
    /// Whether a settlement may be above the hold.
    #[prost(bool, tag = "3")]
    pub excess_allowed: bool,
}

/// A call that was refused.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refusal {
    /// What was sent.
    #[prost(message, required, tag = "1")]
    pub event: Event,
    /// The tenant's key that made the call; empty: none.
    #[prost(string, tag = "2")]
    pub api_key_id: String,
    /// The plan's slug.
    #[prost(string, tag = "3")]
    pub plan: String,
    /// The plan's version.
    #[prost(uint32, tag = "4")]
    pub plan_version: u32,
    /// Why: the number of the contract's `DenialReason`.
    #[prost(int32, tag = "5")]
    pub reason: i32,
    /// The limit, feature or credential that refused.
    #[prost(string, tag = "6")]
    pub denied_by: String,
    /// Whether it was decided while the counters were away.
    #[prost(bool, tag = "7")]
    pub degraded: bool,
}

/// An outcome of an event.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Completion {
    /// The event's id.
    #[prost(string, tag = "1")]
    pub event_id: String,
    /// The outcome.
    #[prost(message, required, tag = "2")]
    pub outcome: Outcome,
}

/// A reservation lives longer, or holds more.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Extension {
    /// The reservation's id.
    #[prost(string, tag = "1")]
    pub reservation: String,
    /// When it ends by itself now, in microseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub expires_at_micros: i64,
    /// What is held in addition.
    #[prost(message, repeated, tag = "3")]
    pub burns: Vec<GrantBurn>,
}

/// A reservation ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct End {
    /// The reservation's id.
    #[prost(string, tag = "1")]
    pub reservation: String,
    /// How it ended.
    #[prost(enumeration = "EndKind", tag = "3")]
    pub kind: i32,
    /// What each grant paid out of the hold.
    #[prost(message, repeated, tag = "4")]
    pub paid: Vec<GrantBurn>,
    /// What each grant got back out of the hold: breakage, if its time is over.
    #[prost(message, repeated, tag = "9")]
    pub released: Vec<GrantBurn>,
    /// What each grant paid above the hold.
    #[prost(message, repeated, tag = "5")]
    pub excess: Vec<GrantBurn>,
    /// What no grant covered, in micro-credits.
    #[prost(int64, tag = "6")]
    pub overage_micros: i64,
    /// The outcome, if it came with one.
    #[prost(message, optional, tag = "7")]
    pub outcome: Option<Outcome>,
    /// The first moment of the billing period, in microseconds since the epoch.
    #[prost(int64, tag = "8")]
    pub period_start_micros: i64,
}

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum EndKind {
    /// With a price.
    Settled = 0,
    /// At no cost.
    Released = 1,
    /// By itself.
    Expired = 2,
}

/// Credits that were granted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GrantPosted {
    /// The grant's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// How much, in micro-credits.
    #[prost(int64, tag = "2")]
    pub micros: i64,
    /// 1 to 255; lower burns first.
    #[prost(uint32, tag = "3")]
    pub priority: u32,
    /// When it ends, in microseconds since the epoch; `None`: never.
    #[prost(int64, optional, tag = "4")]
    pub expires_at_micros: Option<i64>,
    /// For people.
    #[prost(string, tag = "5")]
    pub name: String,
}

/// A grant's time ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Breakage {
    /// The grant's id.
    #[prost(string, tag = "1")]
    pub grant: String,
}
