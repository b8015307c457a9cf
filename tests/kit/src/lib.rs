//! What tests and benches share. It must not link anything of the product.

pub mod answer;
pub mod chance;
pub mod place;
pub mod wait;
