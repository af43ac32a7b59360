// Package azuresim is an Azure OpenAI resource that runs in this process: an
// http.Handler that answers as Azure does, with Azure's limits, headers and
// error bodies, and with every fault Azure has on request.
//
// Nothing in this package imports the gateway: a simulator that shared its code
// would share its mistakes. Time passes only through package time, and no
// goroutine outlives a request, so it runs inside a testing/synctest bubble.
//
// # Endpoints
//
// Chat, legacy completions, embeddings, images, audio, moderations, responses,
// conversations, stored chats, files, batches, models and realtime sessions are
// served on the classic surface (/openai/… with api-version, deployments in the
// path where Azure has them there), on /openai/v1/… and on OpenAI's own /v1/….
// What is stored is stored in one Server, up to a thousand of each kind and 32
// MiB; ids, and the reasoning that is sealed for the client, are known only to
// the Server that made them. A background response is ready after the
// deployment's Latency and a Gap for each item; a batch works for a minute.
//
// # Answers
//
// The answer repeats the last user message and is the same for the same
// request. A message that begins with "!echo TEXT" is answered with TEXT, one
// with "!words N" with N words, and one with "!tool NAME" calls that tool. A
// forced tool_choice and a JSON response_format are honored: arguments and
// answers are the smallest instance of their schema. The built-in tools of the
// Responses API are called by their types: "!tool web_search". A transcript
// names the file and its size; the prompt of a form is its message. Pictures,
// speech and embeddings depend on the text alone. A realtime session answers in
// text until it is told otherwise, and finds no end of speech by itself.
//
// # Tokens
//
// A text costs one token for every four bytes begun. A prompt costs 3 tokens, 3
// more for each message, 85 for each image and the text of tools and of a JSON
// schema. Reasoning deployments add 32, 64 or 128 tokens of reasoning for an
// effort of low, medium or high. Bare texts, as of embeddings, cost what they
// are, and an array of tokens its length. An image costs 85 tokens as input and
// 272 as output, a second of audio 10. What came before in a conversation is
// cached in blocks of 128. This is not what Azure counts; it is a rule that a
// test can repeat in its head.
//
// # Faults
//
// A fault is asked for by a scripted [Step], by the request header
// "x-azuresim-fault: NAME;NAME", or by a last user message that begins with
// "!NAME". A name may be followed by *N, then the fault strikes the first N
// times these messages are seen and lets the next pass, and by an argument:
// "!rate-limit 7", "!slow*2 500ms". [Faults] lists the names and [Explain] says
// what each one does. Errors inside a stream of the Responses API are events of
// its shape; inside a session they are events too, and a cut closes it.
package azuresim
