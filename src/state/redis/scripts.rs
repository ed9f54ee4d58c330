//! The Lua scripts: each operation is one, made of what all share and its own part.

use std::sync::LazyLock;

use redis::Script;

/// One operation's script.
pub(super) struct Op {
    /// For metrics and logs.
    pub(super) name: &'static str,
    /// Whether it needs room rather than makes some.
    pub(super) asks: bool,
    pub(super) code: &'static str,
    script: LazyLock<Script>,
}

impl Op {
    /// By which the server knows the script.
    pub(super) fn sha(&self) -> &str {
        self.script.get_hash()
    }
}

macro_rules! op {
    ($name:literal, $asks:literal, $file:literal) => {
        Op {
            name: $name,
            asks: $asks,
            code: concat!(include_str!("lua/levels.lua"), include_str!("lua/queue.lua"), include_str!($file)),
            script: LazyLock::new(|| {
                Script::new(concat!(include_str!("lua/levels.lua"), include_str!("lua/queue.lua"), include_str!($file)))
            }),
        }
    };
}

pub(super) static ENTER: Op = op!("enter", true, "lua/enter.lua");
pub(super) static SETTLE: Op = op!("settle", false, "lua/settle.lua");
pub(super) static TICK: Op = op!("tick", false, "lua/tick.lua");
pub(super) static LOOK: Op = op!("look", false, "lua/look.lua");
pub(super) static CHARGE: Op = op!("charge", false, "lua/charge.lua");
pub(super) static RESTORE: Op = op!("restore", false, "lua/restore.lua");
pub(super) static SHOW: Op = op!("show", true, "lua/show.lua");

/// Part of every key: a change of what keys hold is a new version, and both may run side by side.
pub(super) const VERSION: u32 = 1;
