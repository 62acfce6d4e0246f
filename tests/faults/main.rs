//! The checker: kills the real server at every moment, and compares what it answered with what its ledger has.
//!
//! `cargo test --test faults` kills at random moments. With `--features faults` it kills at each place where something
//! is half done, too, and makes sure that deliberate faults of the server are found. `TOLLGATE_CHECK_CYCLES=200` makes
//! the long run; `TOLLGATE_CHECK_SEED` repeats the choices of an earlier one, though not its timing.

#[cfg(test)]
mod arithmetic;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod crowds;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod history;
#[cfg(all(test, feature = "faults"))]
mod mutants;
#[cfg(test)]
mod run;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod verdict;
#[cfg(test)]
mod watching;
#[cfg(test)]
mod workload;

const CYCLES: u64 = 10;

/// How often the server is killed.
fn cycles() -> u64 {
    variable("TOLLGATE_CHECK_CYCLES").unwrap_or(CYCLES)
}

/// What the choices are made from; printed, so that they can be made again.
fn seed() -> u64 {
    let seed = variable("TOLLGATE_CHECK_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    say(&format!("seed {seed}"));
    seed
}

fn variable(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a setting of the test, not of the server")]
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

#[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
fn say(words: &str) {
    println!("{words}");
}

#[cfg(not(feature = "faults"))]
#[test]
fn places_to_die_at_and_mutants_need_the_feature_faults() {
    say("not run without `--features faults`: deaths at each place, and the mutants that must be found");
}
