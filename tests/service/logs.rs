//! The log: a line for each event, nothing forged in it, and no secret.

use tollgate_client::{Client, v1};

use crate::program::{OPERATOR_KEY, Program, free_address, operator, ready, tollgate};
use crate::raw::{Raw, exchange};

#[tokio::test]
async fn no_caller_writes_into_the_log() {
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut command = tollgate(&["--listen", &address.to_string()], data.path());
    command.env("TOLLGATE_LOG_LEVEL", "tollgate=trace,info").env("TOLLGATE_LOG_FORMAT", "json");
    let program = Program::spawn(command);
    ready(address).await;
    let operator = operator(address);
    let tenant = v1::CreateTenantRequest {
        tenant_id: "acme".into(),
        name: "Acme\u{1b}[31m".into(),
        plan: "free".into(),
        ..Default::default()
    };
    // A name with such letters may be refused; what matters is the log.
    drop(operator.admin().create_tenant(tenant.clone()).await);
    drop(operator.admin().create_tenant(v1::CreateTenantRequest { name: "Acme".into(), ..tenant }).await);
    let key = v1::CreateApiKeyRequest {
        kind: v1::ApiKeyKind::Tenant.into(),
        tenant_id: "acme".into(),
        name: "test".into(),
        ..Default::default()
    };
    let secret = operator.auth().create_api_key(key).await.unwrap().into_inner().secret;
    let client =
        Client::builder().endpoint(format!("http://{address}")).api_key(&secret).tenant("").build().unwrap();
    for forged in [
        "x\n{\"level\":\"ERROR\",\"message\":\"forged\"}",
        "x\r\nforged",
        "\u{1b}[2Jforged",
        "\u{202e}forged",
    ] {
        let event = v1::UsageEvent {
            id: forged.into(),
            service: forged.into(),
            endpoint: forged.into(),
            ..Default::default()
        };
        drop(client.track().track(client.request(event.clone())).await);
        let event = v1::UsageEvent { id: String::new(), ..event };
        drop(client.track().track(client.request(event)).await);
        let request = v1::GetTenantRequest { tenant_id: forged.into() };
        drop(operator.admin().get_tenant(request).await);
    }
    Raw::connect(address, &format!("{secret}0")).await.call("/tollgate.v1.AuthService/WhoAmI", &[]).await;
    exchange(address, b"GET /%0aforged HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    program.terminate();
    let ended = program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    for line in ended.stderr.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert_ne!("forged", event["message"], "{line}");
    }
    assert!(!ended.stderr.contains(['\u{1b}', '\r', '\u{202e}']), "{:?}", ended.stderr);
    for canary in [OPERATOR_KEY, secret.as_str()] {
        assert!(!ended.stderr.contains(canary) && !ended.stdout.contains(canary), "the log has a secret");
    }
}
