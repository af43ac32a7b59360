package tokens

import "weir/openai"

// frame is what a chat format adds at most to a request whose JSON around the
// texts is as short as it can be.
const frame = 32

// Bound returns a number of tokens that Request's Total is never above, from the
// length of the body alone and without reading its texts: every token is at least
// a byte, every message's JSON is longer than what it adds, and a part that is
// not text is taken at the most that it is ever charged.
func (c *Counter) Bound(r *openai.Request) int {
	n := len(r.Body()) + frame
	for _, m := range r.Messages() {
		if m.Get("audio").Kind() == openai.Object {
			n += unknownPart
		}
		for _, part := range m.Get("content").Elements() {
			switch kind := part.Get("type"); {
			case kind.Is("text"):
			case kind.Is("image_url"):
				n += c.model.Image.Max(part.Get("image_url").Get("detail").Text())
			default:
				n += unknownPart
			}
		}
	}
	for _, name := range []string{"tools", "functions"} {
		// Their rendering may repeat what a schema refers to.
		if tools := r.Root.Get(name); tools.Len() > 0 {
			n += len(tools.Raw()) + frame
		}
	}
	return n
}
