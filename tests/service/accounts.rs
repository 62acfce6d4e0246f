//! Who may enter, and what each may do there.

mod matrix;
