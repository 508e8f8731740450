//! `llmisvc crds`: the CustomResourceDefinitions of both kinds.

use crate::args::Crds;
use crate::problem::Failure;
use crate::render::print;

/// Prints both, ready for `kubectl apply -f -`.
pub(crate) fn run(args: &Crds) -> Result<(), Failure> {
    print(&api::crd::crds(api::crd::Edition::Installed, None), args.output);
    Ok(())
}
