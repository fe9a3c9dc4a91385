package device

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otpd/otpd/internal/testtool"
)

// toRead are requests whose pictures range from the smallest to the largest.
var toRead = map[string]EnrollRequest{
	"small":          {Identifier: "a", Issuer: pointer("b"), Secret: base32Of(digits64[:minSecret])},
	"usual":          {Identifier: ann},
	"HOTP":           {Type: HOTP, Identifier: ann, Name: "fob"},
	"odd characters": {Identifier: `</title><script>"O'Neil" & 安娜 🗝 %41+:`, Issuer: pointer(`<A&B> "C" 'D' ]]>`)},
	"maximal": {
		Identifier: strings.Repeat("安", 106) + "ab", Issuer: pointer(strings.Repeat("é", MaxName/2)), Digits: pointer(8),
		Period: pointer(60), Algorithm: pointer("SHA512"), Secret: base32Of(digits64),
	},
}

func pngOf(t testing.TB, enrolled Enrolled) []byte {
	t.Helper()
	encoded, ok := strings.CutPrefix(enrolled.QRPNG, "data:image/png;base64,")
	if !ok {
		t.Fatalf("not a data URI: %.40s", enrolled.QRPNG)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readQR returns what a real reader sees in a picture, which must hold one code and no more.
func readQR(t testing.TB, file string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "zbarimg", "--quiet", "--raw", "--nodbus", file).Output()
	if err != nil {
		t.Fatalf("zbarimg %s: %v", filepath.Base(file), err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func TestRealReaderReadsThePictures(t *testing.T) {
	testtool.Need(t, "CI", "zbarimg", "rsvg-convert")
	for name, request := range toRead {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			enrolled, _ := f.mustEnroll(t, request)
			dir := t.TempDir()
			picture, drawing, drawn := filepath.Join(dir, "qr.png"), filepath.Join(dir, "qr.svg"), filepath.Join(dir, "drawn.png")
			for file, data := range map[string][]byte{picture: pngOf(t, enrolled), drawing: []byte(enrolled.QRSVG)} {
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if read := readQR(t, picture); read != enrolled.URI {
				t.Errorf("the PNG reads %q\nwant %q", read, enrolled.URI)
			}
			if out, err := exec.CommandContext(t.Context(), "rsvg-convert", "--width", "1000", "--output", drawn, drawing).CombinedOutput(); err != nil {
				t.Fatalf("rsvg-convert: %v: %s", err, out)
			}
			if read := readQR(t, drawn); read != enrolled.URI {
				t.Errorf("the SVG reads %q\nwant %q", read, enrolled.URI)
			}
		})
	}
}

// The SVG is XML, has its size in its viewBox only, and a title that says whose it is.
func TestSVG(t *testing.T) {
	for name, request := range toRead {
		f := newFixture(t, newMemory(t))
		enrolled, _ := f.mustEnroll(t, request)
		issuer := "otpd"
		if request.Issuer != nil {
			issuer = *request.Issuer
		}
		var picture struct {
			XMLName xml.Name `xml:"http://www.w3.org/2000/svg svg"`
			ViewBox string   `xml:"viewBox,attr"`
			Width   string   `xml:"width,attr"`
			Role    string   `xml:"role,attr"`
			Crisp   string   `xml:"shape-rendering,attr"`
			Title   []string `xml:"title"`
			Paths   []struct {
				Data string `xml:"d,attr"`
			} `xml:"path"`
			Other []struct{ XMLName xml.Name } `xml:",any"`
		}
		if err := xml.Unmarshal([]byte(enrolled.QRSVG), &picture); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := "QR code to add " + issuer + " (" + request.Identifier + ") to an authenticator app"; len(picture.Title) != 1 || picture.Title[0] != want {
			t.Errorf("%s: titles %q, want %q", name, picture.Title, want)
		}
		if len(picture.Paths) != 2 || len(picture.Other) != 0 || picture.Width != "" || picture.Role != "img" ||
			picture.Crisp != "crispEdges" || !strings.HasPrefix(picture.ViewBox, "0 0 ") {
			t.Errorf("%s: %+v", name, picture)
		}
		if strings.Contains(enrolled.QRSVG, "<script") {
			t.Errorf("%s: a title got out of its element", name)
		}
		for decoder := xml.NewDecoder(strings.NewReader(enrolled.QRSVG)); ; {
			if _, err := decoder.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// The PNG has whole modules, a quiet zone of four of them, and a code of level M.
func TestPNG(t *testing.T) {
	for name, request := range toRead {
		f := newFixture(t, newMemory(t))
		enrolled, _ := f.mustEnroll(t, request)
		decoded, err := png.Decode(bytes.NewReader(pngOf(t, enrolled)))
		if err != nil {
			t.Fatal(err)
		}
		modules := sample(t, decoded, 6)
		size := len(modules)
		for i := range size {
			for j := range 4 {
				if modules[j][i] || modules[size-1-j][i] || modules[i][j] || modules[i][size-1-j] {
					t.Fatalf("%s: something in the quiet zone, at %d, %d", name, i, j)
				}
			}
		}
		if side := size - 8; side < 21 || (side-17)%4 != 0 {
			t.Errorf("%s: %d modules a side is no version of a QR code", name, side)
		}
		// Corners of the three finder patterns, black, and the corner that has none.
		if last := size - 5; !modules[4][4] || !modules[4][last] || !modules[last][4] || !modules[4][10] || modules[4][11] {
			t.Errorf("%s: no finder patterns where they have to be", name)
		}
		if level := level(modules); level != "M" {
			t.Errorf("%s: error correction %s", name, level)
		}
	}
}

// sample returns which modules of a picture are black, and fails t unless each has but one colour.
func sample(t testing.TB, picture image.Image, scale int) (modules [][]bool) {
	t.Helper()
	bounds := picture.Bounds()
	if bounds.Dx() != bounds.Dy() || bounds.Dx()%scale != 0 {
		t.Fatalf("the picture has %d × %d pixels", bounds.Dx(), bounds.Dy())
	}
	modules = make([][]bool, bounds.Dy()/scale)
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			gray := color.GrayModel.Convert(picture.At(x, y)).(color.Gray).Y
			if gray != 0 && gray != 255 {
				t.Fatalf("gray %d at %d, %d", gray, x, y)
			}
			if y%scale == 0 && x%scale == 0 {
				modules[y/scale] = append(modules[y/scale], gray == 0)
			} else if modules[y/scale][x/scale] != (gray == 0) {
				t.Fatalf("two colours in one module, at %d, %d", x, y)
			}
		}
	}
	return modules
}

// level reads the error correction level, which is in the first two modules of the format information left of the
// upper left finder pattern's lower edge, masked with 10: ISO/IEC 18004 §7.9.
func level(modules [][]bool) string {
	row := modules[4+8]
	var bits int
	for _, x := range []int{4, 5} {
		bits <<= 1
		if row[x] {
			bits |= 1
		}
	}
	return []string{"M", "L", "H", "Q"}[bits^0b10]
}

// A text that no QR code holds is an error, not a picture of a part of it.
func TestTooMuchForAPicture(t *testing.T) {
	if _, err := drawQR(strings.Repeat("a", 3000)); err == nil {
		t.Error("3000 bytes fit")
	}
}
