//! What textbooks say that strategies reach, to hold measurements against.
//!
//! Each direction loses packets independently. Times are in seconds, shares between 0 and 1.

use std::time::Duration;

/// Time that stop-and-wait takes for a message: a round trip, and a timeout for each try that fails
/// before one comes through in both directions (a geometric number of them: Bertsekas and Gallager,
/// *Data Networks*, §2.4.1).
pub fn stop_and_wait(round_trip: Duration, timeout: Duration, lost: [f64; 2]) -> f64 {
    let success = (1.0 - lost[0]) * (1.0 - lost[1]);
    round_trip.as_secs_f64() + timeout.as_secs_f64() * (1.0 / success - 1.0)
}

/// Share of the bottleneck that go-back-N uses, with a window that covers its timeout of `timeout`
/// packets: each loss costs that many, all of which are sent again (Bertsekas and Gallager §2.4.2;
/// Leon-Garcia and Widjaja, *Communication Networks*, §5.2.2). Lost acknowledgements cost nothing:
/// later ones say more.
pub fn go_back_n(timeout: f64, lost: f64) -> f64 {
    (1.0 - lost) / (1.0 - lost + timeout * lost)
}

/// Share of the bottleneck that selective repeat uses with a window large enough: what comes through
/// and is known to, because what is acknowledged in vain is sent again (Leon-Garcia and Widjaja
/// §5.2.3; there without loss of acknowledgements).
pub fn selective_repeat(lost: [f64; 2]) -> f64 {
    (1.0 - lost[0]) * (1.0 - lost[1])
}
