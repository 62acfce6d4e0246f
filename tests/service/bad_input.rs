//! What a caller may not send, as tables; and that nothing was changed by any of it.

mod fields;
mod messages;
mod names;
