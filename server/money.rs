//! Credits and money as integers: millionths, never floats.

/// Micro-credits in one credit.
pub const CREDIT: i64 = 1_000_000;

/// The most that a wallet, a price or a hold may be, in micro-credits: 9·10⁹ credits. It is below 2⁵³, so that a
/// program whose numbers are doubles is exact too.
pub const MICROS_MAX: i64 = 9_000_000_000 * CREDIT;
