//! The laboratory, as people use it.

mod live;
mod proxy;
mod report;
mod traces;

use std::process::Child;

/// A child process, ended with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
