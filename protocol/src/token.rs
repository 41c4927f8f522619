//! What a token says (a JWT, RFC 7519) and what it lets its bearer come in as. Pure: signatures are
//! made and checked by whoever has the keys, which are relays and whoever hands tokens out.
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
