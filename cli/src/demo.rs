//! x
use crate::args::*;
use crate::failure::Failure;
pub(crate) fn demo(_: &DemoOptions) -> Result<u8, Failure> {
    Ok(0)
}
pub(crate) fn candidate(_: &CandidateOptions) -> Result<u8, Failure> {
    Ok(0)
}
