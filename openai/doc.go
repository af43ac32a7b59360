// Package openai is the OpenAI wire format: as much of a request as the gateway
// needs to decide, edits in place, the reading of answers and streams, the one
// error shape that a client sees, and the ids that it is given.
//
// Nothing in this package keeps or forwards anything, and nothing re-encodes what
// somebody else wrote: a value is read where it stands, and an edit replaces the
// bytes of one value and no other.
package openai
