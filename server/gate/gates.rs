//! What a policy says without counting: premium, features, and which endpoints and limits it means.

use std::sync::Arc;

use crate::gate::call::Call;
use crate::gate::decision::{DenialReason, Refusal};
use crate::gate::pattern::Pattern;
use crate::gate::policy::{Features, Policy};

impl Policy {
    /// The premium gate, then the feature gate.
    pub fn admit(&self, call: &Call<'_>) -> Result<(), Refusal> {
        if call.premium && !self.premium {
            return Err(closed(DenialReason::PlanRequired, "premium"));
        }
        if !self.features.has(call.feature) {
            return Err(closed(DenialReason::FeatureNotInPlan, call.feature));
        }
        Ok(())
    }

    /// Whether calls to the endpoint are kept and judged at all.
    #[must_use]
    pub fn tracks(&self, endpoint: &str) -> bool {
        !self.untracked.iter().any(|pattern| pattern.matches(endpoint))
    }
}

impl Features {
    /// Whether calls may name the feature; the empty one is none.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(features) => {
                feature.is_empty() || features.binary_search_by(|known| (**known).cmp(feature)).is_ok()
            }
        }
    }
}

/// Whether a limit with these endpoints applies to the endpoint.
pub(crate) fn applies(endpoints: Option<&Pattern>, endpoint: &str) -> bool {
    endpoints.is_none_or(|pattern| pattern.matches(endpoint))
}

fn closed(reason: DenialReason, denied_by: &str) -> Refusal {
    Refusal { reason, denied_by: Arc::from(denied_by), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture;

    fn check(policy: &Policy, call: &Call<'_>, expected: Option<(DenialReason, &str)>) {
        let refusal = policy.admit(call).err();
        let refusal = refusal.as_ref().map(|refusal| (refusal.reason, &*refusal.denied_by));
        assert_eq!(refusal, expected, "{call:?}");
    }

    #[test]
    fn premium_comes_before_features() {
        let features = Features::Only(vec![Arc::from("export"), Arc::from("search")]);
        let policy = Policy { features, ..fixture::policy() };
        let call = fixture::call();
        check(&policy, &call, None);
        check(&policy, &Call { feature: "search", ..call }, None);
        check(
            &policy,
            &Call { feature: "exports", ..call },
            Some((DenialReason::FeatureNotInPlan, "exports")),
        );
        let both = Call { premium: true, feature: "exports", ..call };
        check(&policy, &both, Some((DenialReason::PlanRequired, "premium")));
        check(&Policy { premium: true, features: Features::All, ..policy }, &both, None);
    }

    #[test]
    fn untracked_endpoints_are_those_of_any_pattern() {
        let untracked = ["/health", "/static/**"].map(|text| Pattern::parse(text).unwrap()).to_vec();
        let policy = Policy { untracked, ..fixture::policy() };
        for (endpoint, tracked) in
            [("/health", false), ("/health/x", true), ("/static/a/b", false), ("/", true)]
        {
            assert_eq!(policy.tracks(endpoint), tracked, "{endpoint}");
        }
    }
}
