// Package policy decides what becomes of a request: whether its text may go to a
// model, whether it fits, what is trimmed, what an answer means, and whether to
// try again.
//
// Every function here is pure. Nothing reads a clock, waits, draws lots or calls
// anybody: who needs the time passes it in, and a decision is a value that
// somebody else carries out.
package policy
