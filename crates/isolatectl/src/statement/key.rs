//! Ed25519 keys in the files that OpenSSL writes: PKCS#8 and SubjectPublicKeyInfo in PEM.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use oci_isolate::files;
use oci_isolate::statement::hexadecimal;

/// The largest file of a key, in bytes.
const LIMIT: u64 = 64 << 10;

/// The key of the operator, which signs.
pub struct PrivateKey {
    key: SigningKey,
    public: PublicKey,
}

/// What verifies.
pub struct PublicKey {
    key: VerifyingKey,
    id: String,
}

impl PrivateKey {
    /// Reads a private key, which only its owner may be able to read.
    ///
    /// # Errors
    /// It cannot be read, others can read it, or it is of another kind.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let mode = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.mode();
        if mode & 0o077 != 0 {
            bail!("cannot use the key {shown}: others than its owner may read it; chmod 600 {shown}");
        }
        let text = text(path)?;
        let Ok(key) = SigningKey::from_pkcs8_pem(&text) else {
            bail!(
                "cannot use the key {shown}: not an Ed25519 private key in PEM without a passphrase; make one with \
                 openssl genpkey -algorithm ed25519 -out FILE"
            );
        };
        Self::of(key)
    }

    /// The key with this secret.
    ///
    /// # Errors
    /// It has no public key that can be written down.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self> {
        Self::of(SigningKey::from_bytes(secret))
    }

    fn of(key: SigningKey) -> Result<Self> {
        let public = PublicKey::of(key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl PublicKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// It cannot be read, or is of another kind.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let Ok(key) = VerifyingKey::from_public_key_pem(&text(path)?) else {
            bail!(
                "cannot use the key {}: not an Ed25519 public key in PEM; the operator writes it with \
                 openssl pkey -in PRIVATE -pubout -out FILE",
                path.display()
            );
        };
        Self::of(key)
    }

    fn of(key: VerifyingKey) -> Result<Self> {
        let encoded = key.to_public_key_der().context("cannot encode the public key")?;
        Ok(Self { key, id: hexadecimal(&Sha256::digest(encoded.as_bytes())) })
    }

    /// The SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether it is a signature of the message. Only one encoding of a signature is.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

fn text(path: &Path) -> Result<String> {
    let bytes = files::read(path, LIMIT)?.bytes;
    String::from_utf8(bytes).ok().with_context(|| format!("cannot use the key {}: not PEM", path.display()))
}
