//! Finding tenants by what their id or their name begins with.

use crate::identity::tenant::{ID, NAME, Tenant};
use crate::identity::tenants::{Subscriber, Tenants, TenantsError};
use crate::store::Order;
use crate::store::records::{Page, Place, Range};

/// What marks a place among those that were found by name. No id of a tenant has a `/`.
const BY_NAME: &str = "name/";

impl Tenants {
    /// A page of the tenants whose id or name begins with `query`, in small or capital letters: first by id, then by name.
    pub async fn search(
        &self,
        query: &str,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Page<Subscriber>, TenantsError> {
        let prefix = query.to_lowercase();
        let name_after = match after {
            Some(place) => place.value.strip_prefix(BY_NAME),
            None => None,
        };
        let mut records = Vec::new();
        if name_after.is_none() {
            let range = Range { index: ID, prefix: &prefix, order: Order::Ascending, after };
            let page = self.tenants.page(range, limit).await?;
            if page.next.is_some() {
                return self.with_subscriptions(page).await;
            }
            records = page.records;
        }
        let mut place = match (name_after, after) {
            (Some(value), Some(place)) => Some(Place { value: value.to_owned(), id: place.id.clone() }),
            _ => None,
        };
        // What was found by its id is not found again. A page of nothing else is shorter than it could be, and has a next.
        let room = limit.saturating_sub(records.len());
        if room == 0 {
            place = Some(place.unwrap_or_else(|| Place { value: String::new(), id: String::new() }));
        } else {
            let range =
                Range { index: NAME, prefix: &prefix, order: Order::Ascending, after: place.as_ref() };
            let page = self.tenants.page(range, room).await?;
            let by_name = |tenant: &Tenant| !tenant.id.to_lowercase().starts_with(&prefix);
            records.extend(page.records.into_iter().filter(by_name));
            place = page.next;
        }
        let next = place.map(|place| Place { value: format!("{BY_NAME}{}", place.value), id: place.id });
        self.with_subscriptions(Page { records, next }).await
    }
}
