package azuresim

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Step is how one request is answered. Its zero value is the normal answer;
// fields that are set change it. Status, Chunks, CloseAfterRead and Hang replace
// the answer whole, before keys and limits are looked at.
type Step struct {
	Fault string // named faults, NAME;NAME, applied on top of the other fields

	Status         int         // a raw answer with Header and Body
	Body           string      // of a raw answer
	Header         http.Header // sent with any answer, in place of those of the same name
	Chunks         []string    // a raw answer: each is written and flushed; an event stream if Header says no other
	CloseAfterRead bool        // close the connection without a byte
	Hang           bool        // answer nothing until the client goes away

	Content      string        // the text to answer with
	FinishReason string        // in place of the true one
	Gzip         bool          // compress the answer, asked or not
	Delay        time.Duration // before anything is written
	Gap          time.Duration // before each write but the first, in place of the deployment's

	// The fields below count the events of a stream: an annotation, a role, the
	// text, the finish, then usage and [DONE]. OfContent counts only events with
	// text, tool calls or a refusal.
	OfContent bool
	CutEvents int           // end the answer after so many events; 0 for none
	CutMid    bool          // that cut comes after half of the next event
	CutBytes  int           // end the answer after so many bytes of the body; 0 for none
	Reset     bool          // an answer ends by resetting the connection, not cleanly
	Inject    string        // written as it is, after InjectAt events
	InjectAt  int           //
	Pause     time.Duration // say nothing for so long after PauseAt events
	PauseAt   int           //
	Split     int           // at most so many bytes a write; 0 for whole events
	NoDone    bool          // leave out [DONE]

	shape shape
}

// shape is what only named faults change.
type shape struct {
	crlf     bool
	noSpace  bool
	preface  string        // lines before the data of each event
	done     string        // in place of [DONE]
	extra    object        // added to each chunk and body
	filter   object        // in place of the output's filter results
	hidden   []string      // kinds of events left out
	endless  bool          // repeat the content until the client goes
	plain    bool          // answer a stream request with a JSON body
	mime     string        // in place of the content type
	async    bool          // filter asynchronously
	refusal  bool          // the text is a refusal
	noUsage  bool          // send no usage, asked or not
	badCall  bool          // arguments of tool calls are no JSON
	whole    bool          // the content in one event
	linger   time.Duration // between the last event and the end of the body
	unfinish bool          // a body of JSON stops half way and the connection stays open
	rename   map[string]string
	failed   bool                      // a response fails after its first content
	inject   func(sequence int) string // in place of Inject
}

// whole reports whether the step replaces the answer.
func (s Step) whole() bool {
	return s.Status != 0 || s.Chunks != nil || s.CloseAfterRead || s.Hang
}

// strike applies the faults named in asked, NAME;NAME, each with an optional
// *COUNT and argument. Unknown names are text, not faults.
func (c *call) strike(asked, argument string) {
	if asked == "" {
		return
	}
	for part := range strings.SplitSeq(asked, ";") {
		word, own, _ := strings.Cut(strings.TrimSpace(part), " ")
		name, count, counted := strings.Cut(word, "*")
		f, ok := c.srv.faults()[name]
		if !ok {
			continue
		}
		limit, err := strconv.Atoi(count)
		if counted && (err != nil || limit < 1 || !c.again(name, limit)) {
			continue
		}
		f.apply(c, &c.step, strings.TrimSpace(own+" "+argument), counted)
		if c.step.Status == http.StatusTooManyRequests {
			c.operated(&c.step)
		}
	}
}

// said is what tells one request's faults from another's.
func (c *call) said() []byte {
	if c.chat == nil {
		return nil
	}
	return slices.Concat(c.chat.fields["messages"], c.chat.fields["input"], c.chat.fields["prompt"])
}

// again reports whether the fault strikes these messages once more: it does so
// limit times, and then lets one pass.
func (c *call) again(name string, limit int) bool {
	sum := sha256.Sum256(c.said())
	key := name + " " + string(sum[:])
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	if c.srv.strikes[key] < limit {
		c.srv.strikes[key]++
		return true
	}
	delete(c.srv.strikes, key)
	return false
}
