//! One call tracked, and what the tenant may still use.
//!
//! `TOLLGATE_API_KEY=… cargo run -p tollgate-client --example track`

use std::error::Error;

use tollgate_client::Client;
use tollgate_client::v1::{Decision, GetLimitsRequest, UsageEvent};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows its answers")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::builder().build()?;
    let event = UsageEvent {
        service: String::from("search"),
        endpoint: String::from("/notes/{id}"),
        method: String::from("GET"),
        ..UsageEvent::default()
    };
    let answer = client.track().track(client.request(event)).await?.into_inner();
    let verdict = answer.verdict.unwrap_or_default();
    match verdict.decision() {
        Decision::Denied => println!("{} is refused: {}", answer.event_id, verdict.message),
        Decision::Allowed | Decision::Unspecified => {
            println!("{} may pass for {} micro-credits", answer.event_id, verdict.credits_charged_micros);
        }
    }

    let tenant_id = client.tenant().to_owned();
    let request = GetLimitsRequest { tenant_id, ..GetLimitsRequest::default() };
    for limit in client.track().get_limits(request).await?.into_inner().limits {
        println!("{}: {:?} of {:?} {} left", limit.name, limit.remaining, limit.limit, limit.unit);
    }
    Ok(())
}
