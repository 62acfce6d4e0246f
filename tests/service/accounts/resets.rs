//! A new password by mail: who had the old one is out, and what went by mail stands in no store.

use std::path::Path;
use std::time::Duration;

use tollgate::time::SECOND;
use tollgate_client::v1;
use tonic::Code;

use crate::accounts::people::{PASSWORD, Town, address, refusal, refused};

const NEW: &str = "a cow that nobody milks";
const PATIENCE: Duration = Duration::from_secs(20);

/// The code of the only letter that has one.
async fn code(mail: &Path) -> String {
    let is_code = |line: &&str| {
        line.len() == 43 && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let found = async {
        loop {
            for entry in std::fs::read_dir(mail).unwrap() {
                let letter = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
                if let Some(code) = letter.lines().filter_map(|line| line.strip_prefix("    ")).find(is_code)
                {
                    return code.to_owned();
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("a letter with a code")
}

/// Whether that text stands in a document of the store.
fn is_kept(town: &Town, text: &str) -> bool {
    let database = rusqlite::Connection::open(town.server.data().join("ledger.db")).unwrap();
    let mut found = database.prepare("SELECT id || ' ' || CAST(body AS TEXT) FROM documents").unwrap();
    let rows = found.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(Result::unwrap).any(|document| document.contains(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_in_with_the_old_password_is_out() {
    let town = Town::new().await;
    let ada = town.member("ada", "owner").await;
    town.member("bob", "owner").await;
    let (login, bobs) = (town.log_in("ada").await.unwrap(), town.log_in("bob").await.unwrap());
    let (tokens, bobs) = (login.tokens.unwrap(), bobs.tokens.unwrap());
    town.who(&tokens.access_token).await.unwrap();
    let nobody = town.nobody().auth();
    let ask = v1::RequestPasswordResetRequest { address: address("ada") };
    nobody.clone().request_password_reset(ask).await.unwrap();
    let code = code(&town.server.data().join("mail")).await;
    assert_eq!(town.letters().await, ["Choose a new password"]);
    let key = town.server.key().await;
    let key = key.rsplit('_').next().unwrap();
    for secret in [code.as_str(), PASSWORD, &tokens.refresh_token, &tokens.access_token, key] {
        assert!(!is_kept(&town, secret), "the store has `{secret}`");
    }
    assert!(is_kept(&town, &ada.password), "the store has the hash");

    town.clock().advance(SECOND);
    let reset = v1::ResetPasswordRequest { code, password: NEW.into() };
    nobody.clone().reset_password(reset).await.unwrap();
    let revoked = refusal(Code::Unauthenticated, "CREDENTIAL_REVOKED");
    assert_eq!(refused(town.who(&tokens.access_token).await), revoked);
    let ended = refusal(Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    assert_eq!(refused(town.refresh(&tokens.refresh_token).await), ended);
    assert_eq!(refused(town.log_in("ada").await), refusal(Code::Unauthenticated, "LOGIN_FAILED"));
    town.try_login(&address("ada"), NEW, None).await.unwrap();
    town.who(&bobs.access_token).await.unwrap();
    assert!(!is_kept(&town, NEW));
}
