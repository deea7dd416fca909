"""Puts a person and a room on a picture with skia; the only module that draws."""

import cmath
import math
from collections.abc import Iterator

import numpy as np
import skia

from mmad.demo.person import SIDES, Pose, Rgb, Subject

WIDTH, HEIGHT = 128, 160
_BRIGHTEST = 245  # leaves room for the noise, which is added without a check for overflow
_NOISE = 7


def paint(rgb: Rgb, light: Rgb, *, shade: float = 1.0, alpha: float = 1.0) -> skia.Paint:
    """A brush for a colour as it looks under a light, darkened by `shade`."""
    red, green, blue = (min(int(255 * c * gain * shade), _BRIGHTEST) for c, gain in zip(rgb, light, strict=True))
    return skia.Paint(Color=skia.ColorSetARGB(int(255 * alpha), red, green, blue), AntiAlias=True)


def stroke(brush: skia.Paint, width: float) -> skia.Paint:
    """The same colour as a round pen."""
    pen = skia.Paint(brush)
    pen.setStyle(skia.Paint.kStroke_Style)
    pen.setStrokeCap(skia.Paint.kRound_Cap)
    pen.setStrokeJoin(skia.Paint.kRound_Join)
    pen.setStrokeWidth(width)
    return pen


class Picture:
    """A picture of `HEIGHT` x `WIDTH` RGBA pixels that skia draws on in place.

    Args:
        zoom: factor on the size of what is drawn in picture heights around the middle.
        shift: displacement in picture heights.
        angle: rotation of the camera, degrees.
    """

    def __init__(self, *, zoom: float, shift: complex, angle: float) -> None:
        self.pixels = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
        self._surface = skia.Surface(self.pixels, colorType=skia.kRGBA_8888_ColorType)
        self.canvas = self._surface.getCanvas()
        self.canvas.translate(WIDTH / 2 + shift.real * HEIGHT, HEIGHT / 2 + shift.imag * HEIGHT)
        self.canvas.rotate(angle)
        self.canvas.scale(HEIGHT * zoom, HEIGHT * zoom)
        self.canvas.translate(0.0, -0.5)


def noise_tile(rng: np.random.Generator) -> np.ndarray:
    """Sensor noise somewhat larger than a picture, of which every frame takes another part; alpha stays 0."""
    tile = np.zeros((HEIGHT + 64, WIDTH + 64, 4), dtype=np.uint8)
    tile[..., :3] = rng.integers(0, _NOISE + 1, size=(*tile.shape[:2], 1))
    return tile


def noise_crops(rng: np.random.Generator, tile: np.ndarray) -> Iterator[np.ndarray]:
    """Endless random (HEIGHT, WIDTH, 4) parts of a tile."""
    while True:
        row, column = rng.integers(0, 64, size=2)
        yield tile[row : row + HEIGHT, column : column + WIDTH]


def draw_room(canvas: skia.Canvas, rng: np.random.Generator, light: Rgb, *, chair: bool, arm_rests: bool) -> None:
    """Draws wall, floor, two pictures and, where asked, a chair."""

    def pick(low: float, high: float) -> Rgb:
        grey = rng.uniform(low, high)
        return tuple(float(np.clip(grey + rng.uniform(-0.06, 0.06), 0, 1)) for _ in range(3))  # type: ignore[return-value]

    horizon = float(rng.uniform(0.70, 0.80))
    canvas.drawRect(skia.Rect(-2, -2, 2, 2), paint(pick(0.55, 0.85), light))
    canvas.drawRect(skia.Rect(-2, horizon, 2, 3), paint(pick(0.35, 0.6), light))
    canvas.drawRect(skia.Rect(-2, horizon - 0.012, 2, horizon), paint(pick(0.7, 0.9), light))
    for side in SIDES:
        x, y = side * rng.uniform(0.24, 0.40), rng.uniform(0.05, 0.35)
        half_width, half_height = rng.uniform(0.05, 0.10), rng.uniform(0.05, 0.11)
        frame = skia.Rect(x - half_width, y - half_height, x + half_width, y + half_height)
        canvas.drawRect(frame, paint(pick(0.3, 0.9), light))
        canvas.drawRect(frame.makeInset(0.012, 0.012), paint(pick(0.3, 0.9), light))
    canvas.drawOval(skia.Rect(-0.2, 0.885, 0.2, 0.965), paint((0.0, 0.0, 0.0), light, alpha=0.25))
    wood = pick(0.2, 0.55)
    if not chair:
        return
    back, dark = paint(wood, light), paint(wood, light, shade=0.7)
    canvas.drawRoundRect(skia.Rect(-0.155, 0.36, 0.155, 0.68), 0.03, 0.03, back)
    for side in SIDES:
        canvas.drawLine(side * 0.135, 0.66, side * 0.155, 0.92, stroke(dark, 0.024))
    canvas.drawRoundRect(skia.Rect(-0.165, 0.625, 0.165, 0.70), 0.03, 0.03, dark)
    if arm_rests:
        for side in SIDES:
            canvas.drawLine(side * 0.185, 0.625, side * 0.185, 0.70, stroke(dark, 0.022))
            canvas.drawLine(side * 0.185, 0.618, side * 0.165, 0.60, stroke(back, 0.030))


class Figure:
    """A subject under one light, ready to be drawn in any pose.

    Args:
        subject: who is drawn.
        light: gain of red, green and blue.
    """

    def __init__(self, subject: Subject, light: Rgb) -> None:
        def brush(rgb: Rgb, shade: float = 1.0) -> skia.Paint:
            return paint(rgb, light, shade=shade)

        self.subject = subject
        self.skin, self.skin_dark = brush(subject.skin), brush(subject.skin, 0.78)
        self.skin_line = stroke(brush(subject.skin, 0.62), 0.06)
        self.hair = brush(subject.hair)
        self.hair_line = stroke(brush(subject.hair, 0.85), 0.075)
        self.top = brush(subject.top)
        if subject.stripes:
            light_stripe, dark_stripe = brush(subject.top).getColor(), brush(subject.top, 0.72).getColor()
            self.top.setShader(
                skia.GradientShader.MakeLinear(
                    points=[skia.Point(0, 0), skia.Point(0, 0.05)],
                    colors=[light_stripe, light_stripe, dark_stripe, dark_stripe],
                    positions=[0.0, 0.5, 0.5, 1.0],
                    mode=skia.TileMode.kRepeat,
                )
            )
        sleeve, sleeve_dark = brush(subject.top, 0.94), brush(subject.top, 0.66)
        fore, fore_dark = (sleeve, sleeve_dark) if subject.long_sleeves else (self.skin, self.skin_dark)
        self.upper_arm, self.upper_arm_edge = stroke(sleeve, 0.056), stroke(sleeve_dark, 0.066)
        self.forearm, self.forearm_edge = stroke(fore, 0.044), stroke(fore_dark, 0.054)
        self.finger, self.finger_edge = stroke(self.skin, 0.0125), stroke(self.skin_dark, 0.019)
        self.neck = stroke(self.skin_dark, 0.066)
        self.thigh, self.thigh_edge = (
            stroke(brush(subject.trousers), 0.090),
            stroke(brush(subject.trousers, 0.7), 0.102),
        )
        self.shin, self.shin_edge = (
            stroke(brush(subject.trousers, 0.88), 0.066),
            stroke(brush(subject.trousers, 0.6), 0.076),
        )
        self.knee_cap, self.shoe = brush(subject.trousers, 1.12), brush(subject.shoes)
        self.sole = stroke(brush(subject.shoes, 0.6), 0.010)
        self.white, self.dark = brush((0.95, 0.95, 0.95)), brush((0.10, 0.08, 0.08))
        self.dark_line = stroke(self.dark, 0.055)
        self.lips = stroke(brush((0.62, 0.26, 0.24) if sum(subject.skin) > 1.5 else (0.42, 0.17, 0.16)), 0.085)
        self.screen = brush((0.65, 0.80, 0.95))

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draws the person from back to front."""
        if pose.standing:
            self._legs(canvas, pose)
            self._torso(canvas, pose)
        else:
            self._torso(canvas, pose)
            self._legs(canvas, pose)
        self._head(canvas, pose)
        for side in sorted(SIDES, key=lambda side: pose.hands[side].depth):
            self._arm(canvas, pose, side)
        if pose.phone > 0.2:
            middle = (pose.hands[-1].at + pose.hands[1].at) / 2
            tilt = math.degrees(cmath.phase(pose.hands[1].at - pose.hands[-1].at))
            canvas.save()
            canvas.translate(middle.real, middle.imag)
            canvas.rotate(tilt)
            canvas.scale(pose.phone, pose.phone)
            canvas.drawRoundRect(skia.Rect(-0.030, -0.048, 0.030, 0.048), 0.008, 0.008, self.dark)
            canvas.drawRect(skia.Rect(-0.023, -0.038, 0.023, 0.038), self.screen)
            canvas.restore()

    def _torso(self, canvas: skia.Canvas, pose: Pose) -> None:
        neck, head = pose.chest(0.0, 0.015), pose.head
        canvas.drawLine(neck.real, neck.imag, head.real, head.imag, self.neck)
        shoulder = 0.105 * self.subject.shoulders
        hip = 0.080 * self.subject.hips
        lift = pose.shrug
        origin = pose.chest(0.0, 0.0)
        path = skia.Path()
        path.moveTo(-hip, 0.275)
        path.cubicTo(-hip * 0.96, 0.18, -shoulder * 0.88, 0.13, -shoulder, 0.045 - lift)
        path.cubicTo(-shoulder * 0.95, 0.004 - lift, -0.06, 0.006 - 0.7 * lift, -0.034, -0.016)
        path.quadTo(0.0, 0.022, 0.034, -0.016)
        path.cubicTo(0.06, 0.006 - 0.7 * lift, shoulder * 0.95, 0.004 - lift, shoulder, 0.045 - lift)
        path.cubicTo(shoulder * 0.88, 0.13, hip * 0.96, 0.18, hip, 0.275)
        path.quadTo(0.0, 0.30, -hip, 0.275)
        canvas.save()
        canvas.translate(origin.real, origin.imag)
        canvas.rotate(math.degrees(pose.lean))
        canvas.drawPath(path, self.top)
        canvas.restore()

    def _legs(self, canvas: skia.Canvas, pose: Pose) -> None:
        sides = sorted(SIDES, key=lambda side: side == pose.crossing and pose.crossed > 0)
        for side in sides:
            hip = pose.hip + side * 0.043 * self.subject.hips + 0.012j
            knee, ankle = pose.knee(side), pose.ankle(side)
            over = pose.crossed if side == pose.crossing else 0.0
            shoe = ankle + (0.026j + side * 0.010) * (1 - over) - side * 0.03 * over
            thigh = (hip.real, hip.imag, knee.real, knee.imag)
            shin = (knee.real, knee.imag, ankle.real, ankle.imag)
            limbs = ((thigh, self.thigh_edge, self.thigh), (shin, self.shin_edge, self.shin))
            for line, edge, pen in limbs if over > 0.3 or pose.standing else limbs[::-1]:
                canvas.drawLine(*line, edge)
                canvas.drawLine(*line, pen)
                if line is shin:
                    self._foot(canvas, shoe, over * -side)
            if not pose.standing:
                canvas.drawCircle(knee.real, knee.imag, 0.034, self.knee_cap)

    def _foot(self, canvas: skia.Canvas, at: complex, turned: float) -> None:
        canvas.save()
        canvas.translate(at.real, at.imag)
        canvas.rotate(35 * turned)
        canvas.drawOval(skia.Rect(-0.044, -0.030, 0.044, 0.030), self.shoe)
        canvas.drawLine(-0.032, 0.022, 0.032, 0.022, self.sole)
        canvas.restore()

    def _arm(self, canvas: skia.Canvas, pose: Pose, side: int) -> None:
        shoulder, elbow, hand = pose.shoulder(side), pose.elbow(side), pose.hands[side]
        upper = (shoulder.real, shoulder.imag, elbow.real, elbow.imag)
        fore = (elbow.real, elbow.imag, hand.at.real, hand.at.imag)
        canvas.drawLine(*upper, self.upper_arm_edge)
        canvas.drawLine(*upper, self.upper_arm)
        canvas.drawLine(*fore, self.forearm_edge)
        canvas.drawLine(*fore, self.forearm)
        along = hand.at - elbow
        along = along / abs(along) if abs(along) > 0.02 else 1j
        palm = hand.at + along * 0.012
        tips = [
            palm + along * cmath.exp(1j * angle * (0.25 + 0.75 * hand.spread)) * (0.036 + 0.014 * hand.spread)
            for angle in (-0.75, -0.25, 0.25, 0.75)
        ]
        for tip in tips:
            canvas.drawLine(palm.real, palm.imag, tip.real, tip.imag, self.finger_edge)
        canvas.drawCircle(palm.real, palm.imag, 0.031, self.skin_dark)
        for tip in tips:
            canvas.drawLine(palm.real, palm.imag, tip.real, tip.imag, self.finger)
        canvas.drawCircle(palm.real, palm.imag, 0.027, self.skin)

    def _head(self, canvas: skia.Canvas, pose: Pose) -> None:
        yaw, pitch, style = pose.yaw, pose.pitch, self.subject.hair_style
        right, below = 0.62 * yaw, 0.50 * pitch
        canvas.save()
        canvas.translate(pose.head.real, pose.head.imag)
        canvas.rotate(math.degrees(pose.head_angle))
        canvas.scale(pose.head_radius, pose.head_radius)
        if style == "long":
            canvas.drawRoundRect(skia.Rect(-1.02, -0.9, 1.02, 1.15), 0.75, 0.6, self.hair)
        elif style == "curly":
            for angle in range(150, 400, 25):
                x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                canvas.drawCircle(0.86 * x - 0.08 * yaw, 0.82 * y - 0.12, 0.34, self.hair)
        canvas.drawOval(skia.Rect(-0.95 - 0.06 * yaw, -1.06, 0.95 - 0.06 * yaw, 0.62), self.hair)
        face_x, face_y = 0.16 * yaw, 0.08 + 0.10 * pitch
        half = 0.83
        face = skia.Rect(face_x - half, face_y - 0.98, face_x + half, face_y + 0.98)
        canvas.drawOval(face, self.skin)
        if self.subject.beard:
            canvas.drawArc(face, 12, 156, False, self.hair)
            canvas.drawOval(skia.Rect(right - 0.42, 0.16 + below, right + 0.42, 0.52 + below), self.skin)
        self._features(canvas, right, below, yaw, pitch)
        self._fringe(canvas, yaw, below, style)
        for side in SIDES:
            if style != "long" and side * yaw < 0.35:
                x = side * 0.88 + 0.42 * yaw
                canvas.drawOval(skia.Rect(x - 0.13, -0.14 - 0.2 * pitch, x + 0.13, 0.24 - 0.2 * pitch), self.skin_dark)
        canvas.restore()

    def _features(self, canvas: skia.Canvas, right: float, below: float, yaw: float, pitch: float) -> None:
        apart = 0.35 * (1 - 0.22 * abs(yaw))
        for side in SIDES:
            x, y = right + side * apart, -0.02 + below
            if abs(x - 0.16 * yaw) > 0.64:
                continue
            wide = 0.15 * (1 - 0.35 * max(side * yaw, 0.0))
            if pitch > 0.55:
                canvas.drawLine(x - wide, y, x + wide, y, self.dark_line)
            else:
                canvas.drawOval(skia.Rect(x - wide, y - 0.10, x + wide, y + 0.10), self.white)
                canvas.drawCircle(x + 0.05 * yaw, y + 0.02 * pitch, 0.088, self.dark)
            canvas.drawLine(x - 0.17, y - 0.23, x + 0.17, y - 0.23, self.hair_line)
            if self.subject.glasses:
                canvas.drawCircle(x, y, 0.24, self.dark_line)
        if self.subject.glasses:
            canvas.drawLine(right - 0.1, -0.02 + below, right + 0.1, -0.02 + below, self.dark_line)
        nose = right * 1.16
        canvas.drawLine(nose - 0.02 * yaw, 0.08 + below, nose + 0.05 * yaw, 0.29 + below * 1.1, self.skin_line)
        canvas.drawLine(nose - 0.08, 0.31 + below * 1.1, nose + 0.08, 0.31 + below * 1.1, self.skin_line)
        mouth = skia.Path()
        mouth.moveTo(right - 0.22, 0.57 + below)
        mouth.quadTo(right, 0.66 + below, right + 0.22, 0.57 + below)
        canvas.drawPath(mouth, self.lips)

    def _fringe(self, canvas: skia.Canvas, yaw: float, below: float, style: str) -> None:
        line = -0.50 + 0.75 * below
        parting = {"parted": 0.35, "long": 0.0, "short": -0.1, "curly": 0.0}[style]
        left, right = max(-0.96, -0.74 + 0.34 * yaw), min(0.96, 0.74 + 0.34 * yaw)
        path = skia.Path()
        path.moveTo(-0.97, 0.12)
        path.cubicTo(-1.12, -1.48, 1.12, -1.48, 0.97, 0.12)
        path.lineTo(right, 0.02)
        path.quadTo(right - 0.05, line, 0.5 * yaw + parting, line)
        path.quadTo(left + 0.05, line - 0.05, left, 0.02)
        path.close()
        canvas.drawPath(path, self.hair)
