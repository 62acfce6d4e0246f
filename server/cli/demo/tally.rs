//! Sums of usage, to be compared.

use std::collections::BTreeMap;

use tollgate_client::v1::{DenialReason, Tokens, UsageTotals, Verdict};

/// What was used by one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub(super) calls: i64,
    pub(super) input_tokens: i64,
    pub(super) output_tokens: i64,
    pub(super) credits_micros: i64,
    /// Refusals promise nothing (rule D), so they are shown and not compared.
    pub(super) refused: i64,
    pub(super) reasons: BTreeMap<&'static str, i64>,
}

impl Tally {
    /// What the ledger says.
    pub(super) fn of(totals: &UsageTotals) -> Self {
        let tokens = totals.tokens.unwrap_or_default();
        Self {
            calls: totals.calls,
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            credits_micros: totals.credits_micros,
            refused: totals.refused,
            reasons: BTreeMap::new(),
        }
    }

    /// A call passed.
    pub(super) fn add(&mut self, tokens: Tokens, credits_micros: i64) {
        self.calls += 1;
        self.input_tokens += tokens.input;
        self.output_tokens += tokens.output;
        self.credits_micros += credits_micros;
    }

    /// A call was refused.
    pub(super) fn refuse(&mut self, verdict: &Verdict) {
        self.refused += 1;
        let reason = match verdict.reason() {
            DenialReason::RateLimited => "rate limited",
            DenialReason::QuotaExceeded => "quota exceeded",
            DenialReason::CreditsExhausted => "credits exhausted",
            other => other.as_str_name(),
        };
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// Adds what another caller of the same tenant counted.
    pub(super) fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.credits_micros += other.credits_micros;
        self.refused += other.refused;
        for (reason, times) in &other.reasons {
            *self.reasons.entry(reason).or_default() += times;
        }
    }

    /// What was added to `before`.
    pub(super) fn since(mut self, before: &Self) -> Self {
        self.calls -= before.calls;
        self.input_tokens -= before.input_tokens;
        self.output_tokens -= before.output_tokens;
        self.credits_micros -= before.credits_micros;
        self.refused -= before.refused;
        self
    }

    /// Whether both have the same usage.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let usage = |it: &Self| (it.calls, it.input_tokens, it.output_tokens, it.credits_micros);
        usage(self) == usage(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_in_no_comparison_and_usage_is() {
        let mut one = Tally::default();
        one.add(Tokens { input: 3, output: 4, ..Tokens::default() }, 5);
        let mut other = one.clone();
        let denied = Verdict { reason: DenialReason::QuotaExceeded.into(), ..Verdict::default() };
        other.refuse(&denied);
        assert!(one.equals(&other));
        assert_eq!(Some(&1), other.reasons.get("quota exceeded"));
        other.add(Tokens::default(), 0);
        assert!(!one.equals(&other));
        other.merge(&one);
        assert!(other.since(&one).equals(&Tally { calls: 2, ..one }));
    }
}
