//! What people paste: any text is refused or means one thing, which its canonical form means too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::invitation::{Invitation, RelayAddress};

fuzz_target!(|text: &str| {
    if let Ok(invitation) = text.parse::<Invitation>() {
        let shown = invitation.to_string();
        assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(shown.parse(), Ok(invitation));
    }
    if let Ok(address) = text.parse::<RelayAddress>() {
        let shown = address.to_string();
        assert!(shown.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(shown.parse(), Ok(address));
    }
});
