package openai

import (
	"bytes"
	"math"
)

// Profile is the dialect in which a client is shown a stream.
type Profile struct {
	// Operation is what the stream answers. Typed events are relayed as upstream
	// sent them, whatever else the profile says: no client is known to stumble
	// over one.
	Operation Operation
	// OpenAI is set for a client that called an OpenAI path. It is spared what
	// only Azure sends: chunks without a choice, choices without a delta, empty
	// ids. A client of an Azure path gets what Azure sent.
	OpenAI bool
	// HideUsage is set where the client did not ask for usage, and the gateway
	// did.
	HideUsage bool
}

// Rewriter shows one stream in a profile. It is for one goroutine.
type Rewriter struct {
	profile     Profile
	id, created string // of the stream, as JSON; "" until known
	model       string
	prompt      string // prompt_filter_results that no chunk has carried yet
	next        int64  // the number of the next typed event; below 0 they have none
}

// NewRewriter returns a Rewriter for one stream.
func NewRewriter(p Profile) *Rewriter {
	w := &Rewriter{profile: p}
	if p.Operation != Responses {
		w.next = -1
	}
	return w
}

// Append appends e to dst as it goes to the client, and nothing where the client
// is to see nothing of it. Values that the profile leaves alone keep their bytes.
func (w *Rewriter) Append(dst []byte, e Event) []byte {
	switch {
	case e.Comment:
		return append(dst, ": keep-alive\n\n"...)
	case e.Done && e.Root.Kind() == Missing:
		return appendDone(dst)
	case w.profile.Operation.Typed():
		return w.typed(dst, e)
	case e.Err.Kind() != Missing:
		return appendData(dst, errorFirst(e))
	default:
		return w.chunk(dst, e)
	}
}

// AppendError appends the event that ends the stream in an error, as the clients
// of its operation expect it. Nothing may follow it.
func (w *Rewriter) AppendError(dst []byte, err *Error) []byte {
	if w.profile.Operation.Typed() {
		return appendFailure(dst, err.Envelope(), w.next)
	}
	return appendError(dst, err)
}

// AppendEnd appends what ends a whole stream that had no [DONE]: that, in a stream
// of chunks, and nothing in one of typed events.
func (w *Rewriter) AppendEnd(dst []byte) []byte {
	if w.profile.Operation.Typed() {
		return dst
	}
	return appendDone(dst)
}

// typed relays a typed event. An error is shown in all the forms that clients look
// for; a response that failed is no error to them.
func (w *Rewriter) typed(dst []byte, e Event) []byte {
	number, ok := e.Root.Get("sequence_number").Int()
	if !ok || number < 0 {
		number = w.next
	}
	if number >= 0 && number < math.MaxInt64 {
		w.next = max(w.next, number+1)
	}
	if e.Err.Kind() != Missing && !e.Done {
		return appendFailure(dst, NormalizeError(500, e.body(true)), number)
	}
	if e.Root.Get("error").Kind() == Null { // one of the clients takes the mere name for an error
		return appendEvent(dst, e.Name, Apply(e.Data, e.Root.Unset("error")...))
	}
	return appendEvent(dst, e.Name, e.Data)
}

func (w *Rewriter) chunk(dst []byte, e Event) []byte {
	usage := e.Root.Get("usage")
	if w.profile.HideUsage && usage.Kind() == Object && e.Root.Get("choices").Len() == 0 {
		return dst
	}
	var edits []Edit
	keep := true
	if w.profile.OpenAI {
		edits, keep = w.plain(e.Root)
	}
	if !keep {
		return dst
	}
	var gone []string
	if e.Root.Get("error").Kind() == Null {
		gone = append(gone, "error")
	}
	if w.profile.HideUsage && usage.Kind() != Missing {
		gone = append(gone, "usage")
	}
	if len(gone) > 0 {
		edits = append(edits, e.Root.Unset(gone...)...)
	}
	return appendData(dst, Apply(e.Data, edits...))
}

// appendDone appends the event that ends a stream of chunks.
func appendDone(dst []byte) []byte { return append(dst, "data: [DONE]\n\n"...) }

// appendError appends the event that ends a stream of chunks in an error.
func appendError(dst []byte, err *Error) []byte { return appendData(dst, err.Envelope()) }

// appendEvent appends an event with its name; "" none.
func appendEvent(dst []byte, name string, data []byte) []byte {
	if name != "" {
		dst = append(dst, "event: "+name+"\n"...)
	}
	return appendData(dst, data)
}

// appendData appends an event. White space between JSON tokens must not end its
// line.
func appendData(dst, data []byte) []byte {
	dst = append(dst, "data: "...)
	from := len(dst)
	dst = append(dst, data...)
	for i := from; i < len(dst); i++ {
		n := bytes.IndexAny(dst[i:], "\r\n")
		if n < 0 {
			break
		}
		i += n
		dst[i] = ' '
	}
	return append(dst, "\n\n"...)
}

// errorFirst returns an error event's data with error as its first member, which
// one client looks for by its bytes.
func errorFirst(e Event) []byte {
	body := NormalizeError(500, e.Data)
	if bytes.HasPrefix(body, []byte(`{"error":`)) {
		return body
	}
	root, err := ReadValue(body)
	if err != nil {
		return body
	}
	return append(append([]byte(`{"error":`), root.Get("error").Raw()...), '}')
}

// plain makes of Azure's chunk one of OpenAI's.
func (w *Rewriter) plain(root Value) (edits []Edit, keep bool) {
	choices := root.Get("choices")
	filter := root.Get("prompt_filter_results")
	if choices.Len() == 0 && root.Get("usage").Kind() != Object {
		if filter.Kind() != Missing {
			w.prompt = string(filter.Raw())
		}
		return edits, false
	}
	edits, keep = w.complete(choices)
	if !keep {
		return edits, false
	}
	if w.prompt != "" && choices.Len() > 0 {
		edits = append(edits, root.Set("prompt_filter_results", w.prompt))
		w.prompt = ""
	}
	return w.fill(root, edits), true
}

// complete gives choices that have none an empty output. Those that say nothing
// are not kept.
func (w *Rewriter) complete(choices Value) (edits []Edit, keep bool) {
	name, kind, empty := "delta", Object, "{}"
	if w.profile.Operation == Completions {
		name, kind, empty = "text", String, `""`
	}
	keep = choices.Len() == 0
	for _, c := range choices.Elements() {
		has := c.Get(name).Kind() == kind
		keep = keep || has || ends(c)
		if !has && c.Kind() == Object {
			edits = append(edits, c.Set(name, empty))
		}
	}
	return edits, keep
}

// fill gives a chunk the id and the like that the others of its stream have.
func (w *Rewriter) fill(root Value, edits []Edit) []Edit {
	if id := root.Get("id"); w.id == "" && len(id.Bytes()) > 0 {
		w.id = string(id.Raw())
		w.created, w.model = string(root.Get("created").Raw()), string(root.Get("model").Raw())
	}
	if root.Get("object").Is("") {
		object := `"chat.completion.chunk"`
		if w.profile.Operation == Completions {
			object = `"text_completion"`
		}
		edits = append(edits, root.Set("object", object))
	}
	if !root.Get("id").Is("") || w.id == "" {
		return edits
	}
	edits = append(edits, root.Set("id", w.id))
	if w.created != "" {
		edits = append(edits, root.Set("created", w.created))
	}
	if w.model != "" && root.Get("model").Is("") {
		edits = append(edits, root.Set("model", w.model))
	}
	return edits
}
