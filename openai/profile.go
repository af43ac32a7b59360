package openai

import "bytes"

// Profile is the dialect in which a client is shown a stream.
type Profile struct {
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
}

// NewRewriter returns a Rewriter for one stream.
func NewRewriter(p Profile) *Rewriter { return &Rewriter{profile: p} }

// Append appends e to dst as it goes to the client, and nothing where the client
// is to see nothing of it. Values that the profile leaves alone keep their bytes.
func (w *Rewriter) Append(dst []byte, e Event) []byte {
	switch {
	case e.Comment:
		return append(dst, ": keep-alive\n\n"...)
	case e.Done:
		return AppendDone(dst)
	case e.Err.Kind() != Missing:
		return appendData(dst, errorFirst(e))
	default:
		return w.chunk(dst, e)
	}
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

// AppendDone appends the event that ends a stream.
func AppendDone(dst []byte) []byte { return append(dst, "data: [DONE]\n\n"...) }

// AppendError appends the event that ends a stream in an error.
func AppendError(dst []byte, err *Error) []byte { return appendData(dst, err.Envelope()) }

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
	empty := choices.Len() > 0
	for _, c := range choices.Elements() {
		k := c.Get("delta").Kind()
		if c.Get("text").Kind() == String {
			k = Object // it is a completion's, which has no delta
		}
		if k == Object || ends(c) {
			empty = false
		}
		if k != Object && c.Kind() == Object {
			edits = append(edits, c.Set("delta", "{}"))
		}
	}
	if empty {
		return edits, false
	}
	if w.prompt != "" && choices.Len() > 0 {
		edits = append(edits, root.Set("prompt_filter_results", w.prompt))
		w.prompt = ""
	}
	return w.fill(root, edits), true
}

// fill gives a chunk the id and the like that the others of its stream have.
func (w *Rewriter) fill(root Value, edits []Edit) []Edit {
	if id := root.Get("id"); w.id == "" && len(id.Bytes()) > 0 {
		w.id = string(id.Raw())
		w.created, w.model = string(root.Get("created").Raw()), string(root.Get("model").Raw())
	}
	if root.Get("object").Is("") && root.Get("choices").At(0).Get("text").Kind() != String {
		edits = append(edits, root.Set("object", `"chat.completion.chunk"`))
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
