// Package azuresim is an Azure OpenAI resource that runs in this process: an
// http.Handler that answers chat completions as Azure does, with Azure's
// limits, headers and error bodies, and with every fault Azure has on request.
//
// Nothing in this package imports the gateway: a simulator that shared its code
// would share its mistakes. Time passes only through package time, and no
// goroutine outlives a request, so it runs inside a testing/synctest bubble.
//
// # Answers
//
// The answer repeats the last user message and is the same for the same
// request. A message that begins with "!echo TEXT" is answered with TEXT, one
// with "!words N" with N words, and one with "!tool NAME" calls that tool. A
// forced tool_choice and a JSON response_format are honored: arguments and
// answers are the smallest instance of their schema.
//
// # Tokens
//
// A text costs one token for every four bytes begun. A prompt costs 3 tokens, 3
// more for each message, 85 for each image and the text of tools and of a JSON
// schema. Reasoning deployments add 32, 64 or 128 tokens of reasoning for an
// effort of low, medium or high. This is not what Azure counts; it is a rule
// that a test can repeat in its head.
//
// # Faults
//
// A fault is asked for by a scripted [Step], by the request header
// "x-azuresim-fault: NAME;NAME", or by a last user message that begins with
// "!NAME". A name may be followed by *N, then the fault strikes the first N
// times these messages are seen and lets the next pass, and by an argument:
// "!rate-limit 7", "!slow*2 500ms". [Faults] lists the names and [Explain] says
// what each one does.
package azuresim
