package openai

// Operation is what a request asks for, by the endpoint that it is sent to.
type Operation uint8

// The operations.
const (
	Chat Operation = iota
	Responses
	Compact // of a conversation, by the Responses API
	Completions
	Embeddings
	Moderations
	Images
	Speech

	ImageEdits // a form, as the next two are
	Transcriptions
	Translations

	Realtime // over a WebSocket

	Passages // what is handed on as it is

	Files
	Batches // work on files of requests
)

// Path returns the operation's path below a base URL, without a slash around it.
func (o Operation) Path() string {
	paths := [...]string{
		Chat: "chat/completions", Responses: "responses", Compact: "responses/compact", Completions: "completions",
		Embeddings: "embeddings", Moderations: "moderations", Images: "images/generations", Speech: "audio/speech",
		ImageEdits: "images/edits", Transcriptions: "audio/transcriptions", Translations: "audio/translations",
		Realtime: "realtime", Files: "files", Batches: "batches",
	}
	if int(o) >= len(paths) {
		return ""
	}
	return paths[o]
}

// Generates reports whether a model answers the request's text with text of its
// own, so that what it reads must hold no special tokens.
func (o Operation) Generates() bool {
	return o == Chat || o == Responses || o == Compact || o == Completions || o == Realtime
}

// Keeps reports whether upstream may keep what it makes of a request, or be sent
// what it has kept.
func (o Operation) Keeps() bool { return o == Responses || o == Compact }

// Hears reports whether the operation makes text of sound.
func (o Operation) Hears() bool { return o == Transcriptions || o == Translations }

// Typed reports whether each event of the operation's streams says its type, as
// those of the Responses API do. The others' are chunks.
func (o Operation) Typed() bool { return o != Chat && o != Completions }

// Largest returns how many bytes an answer to the operation may have, and an event
// of one that is streamed: one that may hold images or vectors may have more.
func (o Operation) Largest() int {
	switch o {
	case Embeddings, Images, ImageEdits, Responses, Compact:
		return 64 << 20
	default:
		return 16 << 20
	}
}

// ParseAs returns the view of a request for an operation. The error is an *Error
// that names the field at fault; what does not decide anything here is left for
// upstream to judge. The body must not change while the request is used.
func ParseAs(op Operation, body []byte) (*Request, error) {
	root, err := ParseValue(body)
	if err != nil {
		return nil, invalidJSON(err)
	}
	if root.Kind() != Object {
		return nil, BadRequest(CodeInvalidJSON, "", "The body must be a JSON object.")
	}
	r := &Request{Operation: op, Root: root, Choices: 1}
	for _, read := range op.readers() {
		if err := read(r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readers returns what reads the fields of an operation that decide something.
func (o Operation) readers() []func(*Request) error {
	switch o {
	case Chat:
		return []func(*Request) error{(*Request).names, (*Request).model, (*Request).streamed, (*Request).cooled, (*Request).bounds, (*Request).stored, (*Request).messages}
	case Responses:
		return []func(*Request) error{(*Request).responsesNames, (*Request).model, (*Request).streamed, (*Request).cooled, (*Request).responsesFields}
	case Compact:
		return []func(*Request) error{(*Request).responsesNames, (*Request).model, (*Request).responsesFields}
	case Completions:
		return []func(*Request) error{
			exact("model prompt suffix stream stream_options max_tokens n best_of temperature"),
			(*Request).model, (*Request).streamed, (*Request).cooled, (*Request).prompts,
		}
	case Embeddings:
		return []func(*Request) error{exact("model input"), (*Request).model, (*Request).embedded}
	case Images, ImageEdits, Transcriptions, Translations:
		return []func(*Request) error{exact("model prompt n stream"), (*Request).model, (*Request).streamed, (*Request).choices}
	case Speech:
		return []func(*Request) error{exact("model input instructions stream_format"), (*Request).model, (*Request).spoken}
	case Moderations:
		return []func(*Request) error{exact("model input"), (*Request).model}
	case Realtime: // one event of a client
		return []func(*Request) error{(*Request).realtime}
	case Batches:
		return []func(*Request) error{exact("input_file_id endpoint completion_window metadata input_blob output_folder")}
	default:
		return nil
	}
}

// exact returns what refuses the known names in another case.
func exact(known string) func(*Request) error {
	return func(r *Request) error { return exactNames(r.Root, known) }
}
