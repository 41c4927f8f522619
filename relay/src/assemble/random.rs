//! Seeds from the system.

use anyhow::{Context, Result};
use rand::TryRng;
use rand::rngs::SysRng;

/// Random bytes.
///
/// # Errors
/// A sentence, if the system gives none.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes)
}
