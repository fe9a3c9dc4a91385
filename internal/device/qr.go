package device

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

const (
	quietZone = 4 // modules of white on each side, ISO/IEC 18004 §9.1
	pngScale  = 6 // pixels of a module
)

// picture is a QR code of error correction level M.
type picture struct{ barcode.Barcode }

func drawQR(text string) (picture, error) {
	code, err := qr.Encode(text, qr.M, qr.Unicode) // the mode for bytes
	return picture{code}, err
}

// size returns the modules of a side, with the quiet zone.
func (p picture) size() int { return p.Bounds().Dx() + 2*quietZone }

// dark reports whether a module is, counted from the quiet zone's corner.
func (p picture) dark(x, y int) bool {
	at := image.Pt(x-quietZone, y-quietZone)
	return at.In(p.Bounds()) && p.At(at.X, at.Y) == color.Black
}

// svg returns the picture with a title that a screen reader reads out. It has no size of its own and is crisp at
// any: a module is one unit.
func (p picture) svg(title string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %[1]d" shape-rendering="crispEdges" role="img"><title>`, p.size())
	_ = xml.EscapeText(&b, []byte(title)) // a strings.Builder takes everything
	fmt.Fprintf(&b, `</title><path fill="#fff" d="M0 0h%dv%[1]dH0z"/><path d="`, p.size())
	for y := range p.size() {
		for x := 0; x < p.size(); x++ {
			run := 0
			for p.dark(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%[3]dz", x, y, run)
				x += run
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String()
}

// png returns the picture as a data URI, RFC 2397.
func (p picture) png() string {
	bitmap := image.NewPaletted(image.Rect(0, 0, p.size()*pngScale, p.size()*pngScale), color.Palette{color.White, color.Black})
	for y := range bitmap.Rect.Dy() {
		for x := range bitmap.Rect.Dx() {
			if p.dark(x/pngScale, y/pngScale) {
				bitmap.SetColorIndex(x, y, 1)
			}
		}
	}
	var data bytes.Buffer
	_ = png.Encode(&data, bitmap) // a bytes.Buffer takes everything
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(data.Bytes())
}
