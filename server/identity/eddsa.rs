//! The one algorithm of our tokens: Ed25519 by ring. No other has an implementation here, whatever a token's header names.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use signature::{Error, Signer, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| signer(*algorithm, key),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    // They are for reading keys out of other formats, which nothing here does.
    key_utils: KeyUtils::new_unimplemented(),
};
static INSTALLED: Once = Once::new();

/// Gives this process its signatures. Whoever signs or verifies calls it before; only the first time counts.
pub fn install() {
    INSTALLED.call_once(|| PROVIDER.install_default().expect("nothing else in this program installs one"));
}

struct Ed25519Signer(Ed25519KeyPair);

struct Ed25519Verifier(UnparsedPublicKey<Vec<u8>>);

fn signer(algorithm: Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    only_eddsa(algorithm, key.family())?;
    let pair = Ed25519KeyPair::from_pkcs8(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    Ok(Box::new(Ed25519Signer(pair)))
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    only_eddsa(algorithm, key.family())?;
    let key = UnparsedPublicKey::new(&ED25519, key.try_get_as_bytes()?.to_vec());
    Ok(Box::new(Ed25519Verifier(key)))
}

fn only_eddsa(algorithm: Algorithm, key: AlgorithmFamily) -> Result<()> {
    if algorithm == Algorithm::EdDSA && key == AlgorithmFamily::Ed {
        return Ok(());
    }
    Err(ErrorKind::InvalidAlgorithm.into())
}

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

impl Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.0.verify(message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::crypto::{sign, verify};
    use ring::signature::KeyPair as _;

    use super::*;

    /// The first test of RFC 8032, section 7.1.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const SIGNATURE: &str = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";

    fn bytes(text: &str) -> Vec<u8> {
        crate::secrets::seal::from_hex(text).unwrap()
    }

    fn pkcs8() -> Vec<u8> {
        [bytes("302e020100300506032b657004220420"), bytes(SEED)].concat()
    }

    #[test]
    fn signature_of_the_standard_is_made_and_known() {
        install();
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8()).unwrap();
        assert_eq!(pair.public_key().as_ref(), bytes(PUBLIC));
        assert_eq!(pair.sign(b"").as_ref(), bytes(SIGNATURE));
        let verifier = verifier(Algorithm::EdDSA, &DecodingKey::from_ed_der(&bytes(PUBLIC))).unwrap();
        assert!(verifier.verify(b"", &bytes(SIGNATURE)).is_ok());
        assert!(verifier.verify(b"x", &bytes(SIGNATURE)).is_err());
    }

    #[test]
    fn no_other_algorithm_signs_or_verifies() {
        install();
        let public = bytes(PUBLIC);
        for algorithm in [
            Algorithm::HS256,
            Algorithm::HS384,
            Algorithm::HS512,
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::RS256,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ] {
            for key in [DecodingKey::from_ed_der(&public), DecodingKey::from_secret(&public)] {
                assert!(verify("AAAA", b"text", &key, algorithm).is_err(), "{algorithm:?}");
            }
            for key in [EncodingKey::from_ed_der(&public), EncodingKey::from_secret(&public)] {
                assert!(sign(b"text", &key, algorithm).is_err(), "{algorithm:?}");
            }
        }
        assert!(verify("AAAA", b"text", &DecodingKey::from_secret(&public), Algorithm::EdDSA).is_err());
        assert!(sign(b"text", &EncodingKey::from_secret(&public), Algorithm::EdDSA).is_err());
    }
}
