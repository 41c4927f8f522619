//! Tokens (JWT, RFC 7519): claims, signature, and the rights of the bearer. Pure: keys and the time are
//! parameters.
//!
//! The claims have the shape of LiveKit's, so that libraries which make tokens for it make them for
//! Tribune. SPEC.md section 13 says where the meaning differs: a missing grant gives nothing.

pub mod base64url;
mod claims;
pub mod ed25519;
mod error;
mod metadata;
mod parts;
mod signature;
mod text;

pub use claims::{Claims, Entitlement, Grants};
pub use error::TokenError;
pub use metadata::{Metadata, TooLong};
pub use parts::{Algorithm, Parts};
pub use signature::{SigningKey, VerifyingKey};
pub use text::TokenText;
