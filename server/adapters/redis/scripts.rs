//! The scripts: a few, each made of the pieces that it needs.

use std::sync::LazyLock;

use deadpool_redis::redis::Script;

macro_rules! script {
    ($($piece:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!($piece), "\n"),+)))
    };
}

static DECIDE: LazyLock<Script> = script!("prelude.lua", "credits.lua", "windows.lua", "decide.lua");
static EXTEND: LazyLock<Script> = script!("prelude.lua", "credits.lua", "hold.lua", "extend.lua");
static END: LazyLock<Script> = script!("prelude.lua", "credits.lua", "hold.lua", "end.lua");
static FAILURES: LazyLock<Script> = script!("failures.lua");
static UPKEEP: LazyLock<Script> = script!("prelude.lua", "credits.lua", "hold.lua", "upkeep.lua");

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
    /// `failures.lua`
    Failures,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Decide, Self::Extend, Self::End, Self::Upkeep, Self::Failures];

    /// Its text, and the hash that a server knows it by.
    pub(super) fn script(self) -> &'static Script {
        match self {
            Self::Decide => &DECIDE,
            Self::Extend => &EXTEND,
            Self::End => &END,
            Self::Upkeep => &UPKEEP,
            Self::Failures => &FAILURES,
        }
    }
}
