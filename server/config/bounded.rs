//! A number of days or seconds, as a setting may be.

use std::marker::PhantomData;

use serde::Deserialize;

/// What is counted.
pub trait Unit {
    /// Its name, of many.
    const MANY: &'static str;
}

/// Days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days;

/// Seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds;

impl Unit for Days {
    const MANY: &'static str = "days";
}

impl Unit for Seconds {
    const MANY: &'static str = "seconds";
}

/// A number of that unit, `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32", bound = "U: Unit")]
pub struct Bounded<U, const MIN: u32, const MAX: u32>(u32, PhantomData<U>);

impl<U, const MIN: u32, const MAX: u32> Bounded<U, MIN, MAX> {
    /// A number that stands in the program.
    ///
    /// # Panics
    /// It is out of its bounds.
    #[must_use]
    pub const fn of(number: u32) -> Self {
        assert!(MIN <= number && number <= MAX, "a number of the program is within its bounds");
        Self(number, PhantomData)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<U: Unit, const MIN: u32, const MAX: u32> TryFrom<u32> for Bounded<U, MIN, MAX> {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if (MIN..=MAX).contains(&number) {
            return Ok(Self(number, PhantomData));
        }
        Err(format!("{number} {} are not {MIN} to {MAX}", U::MANY))
    }
}
