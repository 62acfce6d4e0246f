//! Tokens: what is good is known again, and no text that somebody made up is.

#![expect(clippy::unwrap_used, reason = "what a test arranges must hold, or the test fails")]

mod forge;

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use ring::signature::{ED25519, UnparsedPublicKey};
use secrecy::ExposeSecret as _;
use tollgate::identity::permission::Permissions;
use tollgate::identity::token::{
    BYTES_MAX, Bearer, Service, Terms, Token, TokenInvalid, Tokens, TokensError, looks_like_one,
};
use tollgate::time::{HOUR, MINUTE, Timestamp};

use crate::rooms::{Rooms, terms};
use crate::tokens::forge::{Forge, Object, message};

const BEARER: Bearer<'static> = Bearer { user: "usr_1", tenant: "acme", session: "ses_1" };

/// A server, its key in the wrong hands, and the moment.
struct Bench {
    rooms: Rooms,
    forge: Forge,
    now: Timestamp,
}

impl Bench {
    async fn new() -> Self {
        let rooms = Rooms::new().await;
        let (forge, now) = (Forge::ours(&rooms).await, rooms.store.clock().now());
        Self { rooms, forge, now }
    }

    fn claims(&self) -> Object {
        Object::claims(self.now)
    }

    fn verify(&self, text: &str) -> Result<(), TokenInvalid> {
        self.rooms.tokens.verify(text, self.now).map(|_| ())
    }

    /// What is said of a header, with good claims, under a good signature.
    #[track_caller]
    fn header(&self, header: &Object, expected: Result<(), TokenInvalid>) {
        let text = self.forge.token(header, &self.claims());
        assert_eq!(self.verify(&text), expected, "{header}");
    }

    /// What is said of claims, with a good header, under a good signature.
    #[track_caller]
    fn says(&self, claims: &Object, expected: Result<(), TokenInvalid>) {
        let text = self.forge.token(&self.forge.header(), claims);
        assert_eq!(self.verify(&text), expected, "{claims}");
    }
}

#[tokio::test]
async fn token_says_what_it_was_made_for() {
    let bench = Bench::new().await;
    let tokens = &bench.rooms.tokens;
    let claims = tokens.claims(BEARER);
    assert_eq!((claims.issued_at, claims.expires_at), (bench.now, bench.now.plus(10 * MINUTE)));
    let secret = tokens.issue(&claims).unwrap();
    let text = secret.expose_secret();
    assert!(looks_like_one(text) && !format!("{secret:?}").contains(text));
    assert_eq!(tokens.verify(text, bench.now), Ok(claims.clone()));
    assert_eq!(tokens.verify_service(text, bench.now), Err(TokenInvalid::Type));
    assert_eq!(tokens.check(text, bench.now).await.unwrap(), Token::Access(claims));

    let service =
        Service { parent: "key_1", tenant: Some("acme"), permissions: Permissions::TENANT, life: 2 * HOUR };
    let claims = tokens.service_claims(service);
    assert_eq!(claims.expires_at, bench.now.plus(HOUR), "an hour is the longest");
    let secret = tokens.issue_service(&claims).unwrap();
    let text = secret.expose_secret();
    assert_eq!(tokens.verify_service(text, bench.now), Ok(claims.clone()));
    assert_eq!(tokens.verify(text, bench.now), Err(TokenInvalid::Type));
    assert_eq!(tokens.check(text, bench.now).await.unwrap(), Token::Service(claims));
    assert!(!looks_like_one("tg_tenant_0"));
}

#[tokio::test]
async fn token_is_verified_elsewhere_by_what_is_published() {
    let bench = Bench::new().await;
    let text = bench.rooms.tokens.issue(&bench.rooms.tokens.claims(BEARER)).unwrap();
    let (message, signature) = text.expose_secret().rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let bytes = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
    let object = |part: &str| serde_json::from_slice::<serde_json::Value>(&bytes(part)).unwrap();
    let published = bench.rooms.signing_keys.published().remove(0);
    let kid = published.listed.id;
    assert_eq!(object(header), serde_json::json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": kid }));
    let (now, claims) = (bench.now.seconds(), object(claims));
    for (name, value) in [
        ("iss", "tollgate".into()),
        ("aud", "tollgate".into()),
        ("sub", "usr_1".into()),
        ("tid", "acme".into()),
        ("sid", "ses_1".into()),
        ("iat", now.into()),
        ("nbf", now.into()),
        ("exp", (now + 600).into()),
    ] {
        let value: serde_json::Value = value;
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(claims.as_object().unwrap().len(), 9, "{claims}");
    let key = UnparsedPublicKey::new(&ED25519, published.public);
    assert!(key.verify(message.as_bytes(), &bytes(signature)).is_ok());
}

#[tokio::test]
async fn longest_token_there_can_be_is_taken() {
    let rooms = Rooms::new().await;
    let tokens = |length: usize| {
        let terms = Terms { issuer: "i".repeat(length), audience: "a".repeat(length), ..terms() };
        Tokens::new(rooms.signing_keys.clone(), terms, rooms.store.clock())
    };
    let (tenant, permissions) = ("t".repeat(64), Permissions::operator());
    let service = Service { parent: &"p".repeat(36), tenant: Some(&tenant), permissions, life: HOUR };
    let longest = tokens(200);
    let text = longest.issue_service(&longest.service_claims(service)).unwrap();
    assert!(longest.verify_service(text.expose_secret(), rooms.store.clock().now()).is_ok());
    let too_long = tokens(500);
    let refused = too_long.issue_service(&too_long.service_claims(service));
    assert!(matches!(refused, Err(TokensError::TooLong)));
}

#[tokio::test]
async fn only_our_algorithm_is_taken() {
    let bench = Bench::new().await;
    bench.header(&bench.forge.header(), Ok(()));
    for name in [
        "none", "None", "nOnE", "NONE", "", "eddsa", "EdDSA ", "Ed25519", "HS256", "HS384", "HS512", "RS256",
        "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES256K",
    ] {
        let header = bench.forge.header().with("alg", &format!("{name:?}"));
        bench.header(&header, Err(TokenInvalid::Algorithm));
        let unsigned = format!("{}.", message(&header, &bench.claims()));
        assert_eq!(bench.verify(&unsigned), Err(TokenInvalid::Algorithm), "{name}, without a signature");
        // The public key as the secret of a MAC.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bench.forge.public());
        let tag = hmac::sign(&key, message(&header, &bench.claims()).as_bytes());
        let text = format!("{unsigned}{}", BASE64URL_NOPAD.encode(tag.as_ref()));
        assert_eq!(bench.verify(&text), Err(TokenInvalid::Algorithm), "{name}, with a MAC");
    }
    for value in ["1", "null", "[\"EdDSA\"]", "{}"] {
        bench.header(&bench.forge.header().with("alg", value), Err(TokenInvalid::Malformed));
    }
    bench.header(&bench.forge.header().without("alg"), Err(TokenInvalid::Malformed));
}

#[tokio::test]
async fn token_for_something_else_is_refused() {
    let bench = Bench::new().await;
    for name in ["JWT", "jwt", "AT+JWT", "application/at+jwt", "rt+jwt", "at+jwt ", "", "dpop+jwt"] {
        bench.header(&bench.forge.header().with("typ", &format!("{name:?}")), Err(TokenInvalid::Type));
    }
    bench.header(&bench.forge.header().without("typ"), Err(TokenInvalid::Malformed));
    // Each type has to say what it says, also under a signature of ours.
    let service = bench.forge.header().with("typ", r#""st+jwt""#);
    let tokens = &bench.rooms.tokens;
    let as_service = bench.forge.token(&service, &bench.claims());
    assert_eq!(tokens.verify_service(&as_service, bench.now), Err(TokenInvalid::Claims));
    let scoped = bench.forge.token(&service, &bench.claims().and("scope", r#""usage.read world.rule""#));
    let scoped = tokens.verify_service(&scoped, bench.now).unwrap();
    assert_eq!(scoped.permissions.names(), ["usage.read"], "an unknown name grants nothing");
    for missing in ["tid", "sid"] {
        bench.says(&bench.claims().without(missing), Err(TokenInvalid::Claims));
    }
}

#[tokio::test]
async fn key_is_one_that_is_known_and_nothing_in_a_header_leads_to_another() {
    let bench = Bench::new().await;
    for kid in [
        "../../etc/passwd",
        "/dev/null",
        "' OR '1'='1",
        "sig_1'; DROP TABLE documents; --",
        "https://keys.example.com/jwks.json",
        "file:///dev/null",
        "",
        "*",
        "sig_00000000000000000000000000000000",
    ] {
        bench.header(&bench.forge.header().with("kid", &format!("{kid:?}")), Err(TokenInvalid::UnknownKey));
    }
    let long = format!("\"{}\"", "k".repeat(10 << 10));
    bench.header(&bench.forge.header().with("kid", &long), Err(TokenInvalid::TooLong));
    for value in ["1", "null", "[]", r#"{"$ne":""}"#] {
        bench.header(&bench.forge.header().with("kid", value), Err(TokenInvalid::Malformed));
    }
    bench.header(&bench.forge.header().without("kid"), Err(TokenInvalid::Malformed));

    // A stranger brings the key along.
    let stranger = Forge::strangers(&bench.forge.kid);
    let own = BASE64URL_NOPAD.encode(&stranger.public());
    for (name, value) in [
        ("jwk", format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{own}"}}"#)),
        ("jku", String::from(r#""https://keys.example.com/jwks.json""#)),
        ("x5u", String::from(r#""https://keys.example.com/chain.pem""#)),
        ("x5c", String::from(r#"["AAAA"]"#)),
        ("url", String::from(r#""https://keys.example.com""#)),
    ] {
        let text = stranger.token(&stranger.header().and(name, &value), &bench.claims());
        assert_eq!(bench.verify(&text), Err(TokenInvalid::Signature), "{name}");
        let text =
            stranger.token(&stranger.header().with("kid", "\"mine\"").and(name, &value), &bench.claims());
        assert_eq!(bench.verify(&text), Err(TokenInvalid::UnknownKey), "{name}");
        bench.header(&bench.forge.header().and(name, &value), Ok(()));
    }
    for value in [r#"["b64"]"#, r#"["exp"]"#, "[]", "1"] {
        bench.header(&bench.forge.header().and("crit", value), Err(TokenInvalid::Critical));
    }
}

#[tokio::test]
async fn claims_are_read_strictly() {
    let bench = Bench::new().await;
    bench.says(&bench.claims(), Ok(()));
    bench.says(&bench.claims().and("more", r#"{"a":[1]}"#), Ok(()));
    let (issuer, audience) = (TokenInvalid::Issuer, TokenInvalid::Audience);
    for (name, value, expected) in [
        ("iss", r#""""#, issuer),
        ("iss", r#""Tollgate""#, issuer),
        ("iss", r#""tollgate ""#, issuer),
        ("iss", r#""https://tollgate.example.com""#, issuer),
        ("iss", r#"["tollgate"]"#, TokenInvalid::Claims),
        ("iss", "null", TokenInvalid::Claims),
        ("aud", r#""""#, audience),
        ("aud", r#""tollgate2""#, audience),
        ("aud", r#""*""#, audience),
        ("aud", r#"["tollgate"]"#, TokenInvalid::Claims),
        ("aud", r#"["other","tollgate"]"#, TokenInvalid::Claims),
        ("sub", "1", TokenInvalid::Claims),
        ("tid", r#"["acme"]"#, TokenInvalid::Claims),
        ("tid", "null", TokenInvalid::Claims),
        ("jti", "1", TokenInvalid::Claims),
    ] {
        bench.says(&bench.claims().with(name, value), Err(expected));
    }
    for name in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp"] {
        bench.says(&bench.claims().without(name), Err(TokenInvalid::Claims));
    }
    let second = bench.now.seconds();
    for name in ["exp", "nbf", "iat"] {
        for value in [
            format!("\"{}\"", second + 600),
            format!("{}.0", second + 600),
            format!("{}e0", second + 600),
            String::from("1e400"),
            String::from("1e18"),
            String::from("-1"),
            String::from("-1e400"),
            String::from("18446744073709551616"),
            String::from("null"),
            String::from("true"),
            String::from("NaN"),
            String::from("{}"),
        ] {
            bench.says(&bench.claims().with(name, &value), Err(TokenInvalid::Claims));
        }
    }
    // Nobody here makes one that is good for longer than its key is remembered.
    bench.says(&bench.claims().with("exp", &(second + 3_600).to_string()), Ok(()));
    for end in [second + 3_601, i64::MAX] {
        bench.says(&bench.claims().with("exp", &end.to_string()), Err(TokenInvalid::Claims));
    }
    bench.says(&bench.claims().with("exp", "18446744073709551615"), Err(TokenInvalid::Claims));
}

#[tokio::test]
async fn member_that_stands_twice_is_refused() {
    let bench = Bench::new().await;
    for (name, value) in [
        ("tid", r#""other""#),
        ("tid", r#""acme""#),
        ("t\\u0069d", r#""other""#),
        ("exp", "1"),
        ("iss", r#""x""#),
    ] {
        bench.says(&bench.claims().and(name, value), Err(TokenInvalid::Claims));
    }
    bench.says(&bench.claims().and("more", "1").and("more", "1"), Err(TokenInvalid::Claims));
    for (name, value) in
        [("alg", r#""none""#), ("alg", r#""EdDSA""#), ("kid", r#""other""#), ("typ", r#""JWT""#)]
    {
        bench.header(&bench.forge.header().and(name, value), Err(TokenInvalid::Malformed));
    }
}

#[tokio::test]
async fn times_are_taken_with_a_minute_of_leeway_and_no_more() {
    let bench = Bench::new().await;
    let claims =
        |name: &str, seconds: i64| bench.claims().with(name, &(bench.now.seconds() + seconds).to_string());
    bench.says(&claims("nbf", 60), Ok(()));
    bench.says(&claims("nbf", 61), Err(TokenInvalid::NotYet));
    bench.says(&claims("nbf", 1_000_000_000_000), Err(TokenInvalid::NotYet));
    let text = bench.forge.token(&bench.forge.header(), &bench.claims());
    let check = |after: i64, expected: Result<(), TokenInvalid>| {
        let found = bench.rooms.tokens.verify(&text, bench.now.plus(after)).map(|_| ());
        assert_eq!(found, expected, "{after} µs after it was made");
    };
    check(-MINUTE, Ok(()));
    check(-MINUTE - 1, Err(TokenInvalid::NotYet));
    check(10 * MINUTE + MINUTE - 1, Ok(()));
    check(10 * MINUTE + MINUTE, Err(TokenInvalid::Expired));
}

#[tokio::test]
async fn text_that_is_too_long_or_too_deep_is_not_read() {
    let bench = Bench::new().await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    bench.says(&bench.claims().with("tid", &deep(300)), Err(TokenInvalid::Claims));
    bench.says(&bench.claims().and("more", &deep(10_000)), Err(TokenInvalid::TooLong));
    for length in [BYTES_MAX + 1, 1 << 20] {
        assert_eq!(bench.verify(&".".repeat(length)), Err(TokenInvalid::TooLong));
        assert_eq!(bench.verify(&"a".repeat(length)), Err(TokenInvalid::TooLong));
    }
    let bare = bench.forge.token(&bench.forge.header(), &bench.claims()).len();
    // Three bytes are four letters; what is too much is found by its length alone.
    let filled = |letters: usize| format!("\"{}\"", "x".repeat((letters - bare) / 4 * 3 - 16));
    bench.says(&bench.claims().and("more", &filled(BYTES_MAX)), Ok(()));
    bench.says(&bench.claims().and("more", &filled(BYTES_MAX + 64)), Err(TokenInvalid::TooLong));
}

#[tokio::test]
async fn any_change_of_a_token_is_noticed() {
    let bench = Bench::new().await;
    let text = bench.forge.token(&bench.forge.header(), &bench.claims());
    assert_eq!(bench.verify(&text), Ok(()));
    for place in 0..text.len() {
        let replaced = |(at, letter): (usize, char)| match (at == place, letter) {
            (true, 'A') => 'B',
            (true, _) => 'A',
            (false, letter) => letter,
        };
        let changed: String = text.char_indices().map(replaced).collect();
        assert!(bench.verify(&changed).is_err(), "at {place}");
        let shorter: String = text.chars().take(place).collect();
        assert!(bench.verify(&shorter).is_err(), "only {place}");
    }
    let (message, signature) = text.rsplit_once('.').unwrap();
    let bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    for (wrong, expected) in [
        (String::new(), TokenInvalid::Signature),
        (BASE64URL_NOPAD.encode(&bytes[..63]), TokenInvalid::Signature),
        (BASE64URL_NOPAD.encode(&[&bytes[..], &[0]].concat()), TokenInvalid::Signature),
        (BASE64URL_NOPAD.encode(&[0; 64]), TokenInvalid::Signature),
        (BASE64URL_NOPAD.encode(&with_the_order_added(&bytes)), TokenInvalid::Signature),
        (format!("{signature}=="), TokenInvalid::Malformed),
        (format!("{signature}="), TokenInvalid::Malformed),
        (format!("{signature}A"), TokenInvalid::Signature),
        (format!("{signature} "), TokenInvalid::Malformed),
        (format!("{signature}\n"), TokenInvalid::Malformed),
        (format!("{signature}."), TokenInvalid::Malformed),
        (other_spelling(signature), TokenInvalid::Malformed),
    ] {
        assert_eq!(bench.verify(&format!("{message}.{wrong}")), Err(expected), "{wrong:?}");
    }
    for wrong in
        ["", ".", "..", "...", "a.b.c", "é.é.é", "e30.e30.e30", "bnVsbA.bnVsbA.bnVsbA", "W10.W10.W10"]
    {
        assert_eq!(bench.verify(wrong), Err(TokenInvalid::Malformed), "{wrong:?}");
    }
}

#[tokio::test]
async fn token_of_another_installation_is_refused() {
    let (here, there) = (Bench::new().await, Bench::new().await);
    let text = there.rooms.tokens.issue(&there.rooms.tokens.claims(BEARER)).unwrap();
    assert_eq!(here.verify(text.expose_secret()), Err(TokenInvalid::UnknownKey));
}

/// The same number to whoever forgets to look whether it is too large: s + L (RFC 8032, 5.1.7).
fn with_the_order_added(signature: &[u8]) -> Vec<u8> {
    let order = data_encoding::HEXLOWER
        .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .unwrap();
    let (point, number) = signature.split_at(32);
    let mut carry = 0_u16;
    let sum = number.iter().zip(&order).map(|(left, right)| {
        carry += u16::from(*left) + u16::from(*right);
        let digit = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
        digit
    });
    let sum: Vec<u8> = sum.collect();
    [point, &sum].concat()
}

/// The same bytes in letters whose last bits mean nothing.
fn other_spelling(text: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = text.chars().last().unwrap();
    let next = LETTERS.chars().nth(LETTERS.find(last).unwrap() + 1).unwrap();
    format!("{}{next}", text.strip_suffix(last).unwrap())
}
