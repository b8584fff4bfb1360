//! The scanner driven by events alone, as the river does.

mod balancing;
mod commands;
mod entering;
mod leaving;
mod random;
mod rig;
