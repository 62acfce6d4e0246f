//! The scripts: a few, each made of the pieces that it needs.

use std::sync::LazyLock;

use deadpool_redis::redis::Script;

use crate::gate::counters::PENDING_LIFE;

macro_rules! script {
    ($($piece:literal),+) => {
        LazyLock::new(|| Script::new(&(constants() + concat!($(include_str!($piece), "\n"),+))))
    };
}

static DECIDE: LazyLock<Script> = script!("prelude.lua", "credits.lua", "windows.lua", "decide.lua");
static EXTEND: LazyLock<Script> = script!("prelude.lua", "credits.lua", "hold.lua", "extend.lua");
static END: LazyLock<Script> = script!("prelude.lua", "credits.lua", "hold.lua", "end.lua");
static UPKEEP: LazyLock<Script> = script!("prelude.lua", "credits.lua", "hold.lua", "upkeep.lua");

/// What the scripts know from Rust.
fn constants() -> String {
    format!("local PENDING_LIFE = {PENDING_LIFE}\n")
}

/// One of the scripts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `decide.lua`
    Decide,
    /// `extend.lua`
    Extend,
    /// `end.lua`
    End,
    /// `upkeep.lua`
    Upkeep,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Decide, Self::Extend, Self::End, Self::Upkeep];

    /// Its text, and the hash that a server knows it by.
    pub(super) fn script(self) -> &'static Script {
        match self {
            Self::Decide => &DECIDE,
            Self::Extend => &EXTEND,
            Self::End => &END,
            Self::Upkeep => &UPKEEP,
        }
    }
}
