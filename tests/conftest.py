"""Settings of every test: strict shapes, and annotations that are checked while the tests run."""

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_rank_promotion", "raise")

# Annotated shapes inside the network are checked at every call. The public interface around it
# checks its arguments itself, and the tests hold it to its own errors.
install_import_hook("l3ac_jax.model", "beartype.beartype")
