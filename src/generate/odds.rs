//! How likely things are, in cases of 10,000 where nothing else is said.
//!
//! Together they give the mix of the stream, which a test holds: 55 % facts, 20 % SMS, 4 % surveys,
//! 12 % kiosk, 6 % ЕПГУ and 2 % site messages.

/// Cases of 1,000 that begin with a fact, a kiosk message, an ЕПГУ form; the rest with a review.
pub const BEGIN_OPEN: [u32; 3] = [853, 111, 26];
/// The same when the offices are closed.
pub const BEGIN_CLOSED: [u32; 3] = [100, 0, 700];

/// A citizen with a registered fact rates at the kiosk, on the spot.
pub const KIOSK_BEFORE_FACT: u32 = 880;
/// He rates on the ЕПГУ form.
pub const EPGU_AFTER_FACT: u32 = 290;
/// He writes a review.
pub const SITE_AFTER_FACT: u32 = 110;
/// A second, different fact comes for the record.
pub const OTHER_FACT: u32 = 10;
/// The fact never comes.
pub const LOST_FACT: u32 = 6;
/// A phone number was left.
pub const LEFT_PHONE: u32 = 7000;
/// The question by SMS is answered. In life 16 % are; so many more make the mix asked for.
pub const REPLIED: u32 = 5050;
/// The reply is no digit.
pub const ODD_REPLY: u32 = 150;
/// A digit follows such a reply.
pub const DIGIT_AFTER_ODD: u32 = 2500;
/// There is white space around the digit.
pub const PADDED_REPLY: u32 = 60;
/// A second digit follows.
pub const SECOND_REPLY: u32 = 250;
/// One who did not reply is called.
pub const CALLED_UNASKED: u32 = 1050;
/// A completed survey is followed by another call.
pub const SURVEYED_AGAIN: u32 = 200;
/// A form comes again with other scores.
pub const CONFLICT: u32 = 40;
/// A rating is withdrawn.
pub const RETRACTED: u32 = 24;
/// A review is answered.
pub const ANSWERED: u32 = 8500;
/// An answer comes after more than ten working days.
pub const ANSWERED_LATE: u32 = 1500;
/// A service rated online may be one that is not listed.
pub const EPGU_NOT_LISTED: u32 = 500;
/// A message arrives hours or days after its receipt.
pub const ARRIVES_LATE: u32 = 40;
/// A message is sent again.
pub const SENT_TWICE: u32 = 50;
