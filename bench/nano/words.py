"""Word lists for the bundled model's data, split into what training may use and what is held out for measuring.

Knows no tools and no sentences. `TRAIN` and `HELD_OUT` have the same fields and share no word; numbers are split by a
rule (`number_is_held_out`), and invented words come from two disjoint syllable inventories.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words by role. `onsets` and `rimes` build invented words."""

    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    cities: tuple[str, ...]
    countries: tuple[str, ...]
    companies: tuple[str, ...]
    products: tuple[str, ...]
    foods: tuple[str, ...]
    topics: tuple[str, ...]
    messages: tuple[str, ...]
    onsets: tuple[str, ...]
    rimes: tuple[str, ...]
    held_out: bool

    def invented(self, rng: random.Random, syllables: tuple[int, int] = (1, 4)) -> str:
        """A word that no language has, e.g. `moltar`; the long syllables of the held-out inventory come in twos at most."""
        low, high = syllables
        count = rng.randint(low, min(high, 2) if self.held_out else high)
        return "".join(rng.choice(self.onsets) + rng.choice(self.rimes) for _ in range(count))


def number_is_held_out(value: int) -> bool:
    """The rule that splits numbers from 10 on; smaller ones are shared, for there are too few of them."""
    return value >= 10 and value % 11 == 4


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines() if line.strip())


TRAIN = Lexicon(
    verbs=_words("""
        get set find list add remove create delete update check start stop open close send fetch read write move copy
        rename search lookup count sort filter merge split book cancel order buy sell pay rent hire assign invite
        approve reject schedule postpone track trace measure weigh compare convert translate summarize classify label
        tag archive restore backup export import upload download sync share publish hide show render draw print scan
        record play pause resume skip mute lock unlock arm disarm enable disable connect disconnect pair reset reboot
        install deploy rollback scale monitor ping query insert validate verify sign encrypt compress extract rotate
        crop resize blur paint clean wash dry cook bake heat cool water feed walk train test grade enroll register
        subscribe unsubscribe refund ship return pack deliver collect reserve release borrow lend renew report estimate
        predict forecast analyze audit inspect repair replace charge transfer deposit withdraw donate vote rate review
        follow block flag pin bookmark capture log note remind notify warn wake dim brighten adjust calibrate
    """),
    nouns=_words("""
        account alarm album alert animal answer apartment app appointment archive article asset attachment auction badge
        balance battery beam bed benchmark bicycle bill blanket boat bolt bond bottle box branch bridge broadcast bucket
        budget bug building bus button cabin cable cache calculator camera campaign candle car card cargo cart case
        catalog ceiling certificate chain chair channel chapter chart chat city class client clip clock cloud cluster
        coach coat code coin collection color column comment commit community component concert contact container
        contract cookie copy country coupon course crate crew crop curtain customer dashboard database deadline debt deck
        delivery deployment desk device diagram diary discount disk display doctor document domain door drawer dress
        driver drone drug edge element elevator employee endpoint engine envelope error estate event exam expense
        factory family fan farm fee feed fence field figure file filter flag flight floor flower folder font forest form
        formula frame freezer friend fuel game garage garden gas gate gift glass goal grade grant graph greenhouse group
        guest guide guitar hall hammer harbor hat heater highway hose hospital hotel house image index ingredient
        insurance interview inventory invoice island issue item jacket job journal journey judge key kitchen label ladder
        lake lamp language laptop laundry lawn layer lead lease lecture ledger lesson letter level library licence light
        line link list loan locker log lot luggage machine magazine map market match material meal medal medicine member
        menu message meter mirror mission model module monitor motor mountain movie museum needle network newsletter
        night note notebook notice number nurse object office oil operator orchestra order oven owner package page paint
        painting palette panel paper parcel park part party passenger passport password patch path patient payment pen
        pension permit person photo piano picture pier pilot pipe plan planet plant plate platform player playlist pocket
        podcast poem policy poll pond pool port portfolio poster pot price printer prize process product profile program
        project property puzzle quarter query question queue quote race radio rail rain recipe record region release
        report request reservation resource restaurant result review reward ring river road robot role roof room route
        row rule sail salary sale sample satellite scale school score screen script season seat seed sensor server
        session shelf ship shirt shoe shop signal site sketch slide snapshot socket song sound source space speaker
        sponsor stage stamp star station statue stock stone storage store storm story stove street student studio subject
        subscription suitcase supplier survey switch symbol system table tablet tag tank target task tax taxi teacher team
        template tenant tent test text theater thermostat ticket tile timer token tool topic tour tower town toy track
        trade trail train transaction tree trial trip truck tunnel turbine tutor umbrella unit upload user vaccine valve
        van vault vehicle vendor venue version video village visa visit voice volume voucher wage wall wallet warehouse
        warning wave webhook website wedding wheel widget window wire word workflow workout workshop yard zone
    """),
    adjectives=_words("""
        active annual blue broken bright busy cheap clean cold common complete cool current daily dark deep digital dirty
        double dry early easy empty fast final first flat free fresh full global golden green half happy hard heavy high
        hot huge inner large last late left light little local long loose loud low main major minor mobile modern monthly
        narrow national new next nice normal old open orange outer paid plain private public quick quiet random rare raw
        recent red remote rich right round secret sharp short silent simple single small smart soft solid special square
        stable strong sweet tall thick thin tiny top total upper urgent vivid warm weekly wet white wide wild yellow young
    """),
    first_names=_words("""
        Adam Alice Amara Ana Andre Anna Arjun Ben Bianca Carla Carlos Chen Chloe Clara Daniel David Diego Elena Eli Emma
        Eric Eva Farah Felix Fiona Frank George Grace Hana Hannah Henry Hugo Ibrahim Ines Ingrid Isaac Ivan Jack Jada
        James Jane Javier Jonas Julia Kai Karen Karim Kate Kenji Laura Layla Leo Liam Lina Lucas Lucy Luis Maria Marco
        Mark Marta Maya Mei Mia Mike Mina Nadia Nathan Nina Noah Nora Oliver Omar Oscar Paul Pedro Peter Priya Rachel
        Raj Rita Robert Rosa Ruth Sam Sara Sofia Sven Tara Theo Tom Uma Vera Victor Wei William Yara Yuki Zoe
    """),
    last_names=_words("""
        Adams Ahmed Allen Alvarez Baker Bauer Bell Bianchi Brown Burns Campbell Carter Chen Clark Cohen Cook Costa Cruz
        Davis Diaz Dubois Evans Fischer Flores Foster Garcia Gomez Gray Green Gupta Haas Hall Harris Hill Hoffman Hughes
        Ito Ivanov Jensen Johnson Jones Kaya Kelly Khan Kim King Klein Kumar Lang Larsen Lee Lewis Lopez Martin Meyer
        Miller Moore Morgan Morris Murphy Nelson Nguyen Novak Olsen Park Patel Perez Petrov Reed Reyes Rivera Roberts
        Rossi Russo Sato Schmidt Shah Silva Singh Smith Stone Suzuki Taylor Thomas Torres Turner Walker Wang Ward Weber
        White Wilson Wong Wood Wright Yang Young Zhang
    """),
    cities=_lines("""
        Paris\nLondon\nBerlin\nMadrid\nRome\nVienna\nPrague\nWarsaw\nLisbon\nDublin\nOslo\nStockholm\nHelsinki\nAthens\nTokyo
        Osaka\nSeoul\nBeijing\nShanghai\nDelhi\nMumbai\nBangkok\nSingapore\nJakarta\nManila\nSydney\nMelbourne\nAuckland\nCairo
        Lagos\nNairobi\nCape Town\nAccra\nTunis\nNew York\nLos Angeles\nChicago\nBoston\nSeattle\nDenver\nMiami\nDallas
        Toronto\nMontreal\nVancouver\nMexico City\nLima\nBogota\nSantiago\nBuenos Aires\nQuito\nHavana\nIstanbul\nAnkara\nDubai
        Doha\nRiyadh\nMoscow\nKyiv\nBudapest\nZurich\nGeneva\nMilan\nNaples\nTurin\nMunich\nHamburg\nCologne\nLyon\nNice
        Porto\nSeville\nValencia\nBilbao\nGlasgow\nCardiff\nBristol\nLeeds\nRotterdam\nUtrecht\nGhent\nBruges\nKyoto\nHanoi
        San Diego\nPhoenix\nAustin\nPortland\nDetroit\nOrlando\nSalt Lake City\nHo Chi Minh City\nRio de Janeiro
    """),
    countries=_lines("""
        France\nGermany\nSpain\nItaly\nPoland\nSweden\nNorway\nGreece\nTurkey\nEgypt\nKenya\nGhana\nMorocco\nIndia\nChina
        Japan\nVietnam\nThailand\nAustralia\nCanada\nMexico\nBrazil\nChile\nPeru\nArgentina\nSouth Korea\nSouth Africa
        the Netherlands\nSwitzerland\nBelgium
    """),
    companies=_lines("""
        Acme\nGlobex\nInitech\nNorthwind\nContoso\nBluebird Labs\nSilver Oak\nRiver and Sons\nGreen Valley\nBright Metal
        Union Paper\nOcean Foods\nRed Brick\nStar Freight\nCopper Works\nHill Bank\nMaple Health\nDelta Tools\nSun Power
    """),
    products=_lines("""
        wireless mouse\nrunning shoes\ncoffee grinder\ndesk lamp\nyoga mat\nwater bottle\nphone case\nbackpack\nheadphones
        office chair\nelectric kettle\nwinter jacket\nusb cable\nkeyboard\nair fryer\nmemory card\ntoothbrush\nblender
        hiking boots\nsmart watch\nsleeping bag\nrain coat\ntennis racket\nfrying pan\ngarden hose
    """),
    foods=_lines("""
        pizza\nsushi\nlasagna\nchicken soup\nfried rice\ntacos\npancakes\ncaesar salad\nburger\npad thai\nramen\nomelette
        apple pie\nfalafel\nlentil stew\nfish and chips\nspring rolls\nbanana bread\npea soup\nmushroom risotto\nfries
    """),
    topics=_lines("""
        how to tie a tie\nbest laptops under 500\nhistory of the bicycle\nsolar panel prices\nblack holes\nroman empire
        train strikes\nvegan recipes\nlearning guitar\nclimate change\nold maps\nhow batteries work\nfootball results
        electric cars\ntax rules for freelancers\ncheap flights\nbird migration\nvolcanoes\nhome insulation\nmodern art
        how to remove stains\nsleep and health\nstock market news\nphoto tips\nchess openings\nsourdough starter
        the moon landing\nspace telescopes\nrunning plans\nwhale songs
    """),
    messages=_lines("""
        I will be ten minutes late\nthe meeting is moved to the big room\nplease call me back\ndinner is ready
        thanks for your help yesterday\nthe package has arrived\nwe need more paper\nhappy birthday\nsee you on monday
        the report is done\ncan you review my draft\nI left the keys on the table\nthe printer is broken again
        good luck with the exam\nthe train was cancelled\nplease bring a warm coat\nthe invoice is paid
        let us meet at the station\nI love the new design\ndo not forget the tickets\nthe server is down
        we won the match\nyour order is on its way\nthe plan looks good to me\nI am on my way
        could you send the slides\nlunch is on me today\nthe window is still open\nwe are out of milk
    """),
    onsets=_words("b d f g h k l m n p r s t v br dr gr kl pl st tr"),
    rimes=_words("a e i o u an el in or ul as en ik om ar"),
    held_out=False,
)

HELD_OUT = Lexicon(
    verbs=_words("""
        fold polish weave dispatch gather harvest tune stitch mint forge ferry herd etch brew knit graft tow seal carve
        reroute tally moor annotate scrub catalogue refuel anchor sharpen
    """),
    nouns=_words("""
        anvil barge beacon bobbin canopy chalice compass crayon dagger easel falcon gasket gondola hinge kayak kettle
        lantern lever loom mallet marble meadow mosaic nozzle obelisk paddle parasol pebble pergola pulley quill
        rafter saddle scarf scroll sluice spindle stencil tapestry thimble trellis trowel tugboat turret urn vineyard
        walnut weir yacht zeppelin
    """),
    adjectives=_words("""
        amber ancient brittle crimson dusty eager faint gentle hollow icy jagged keen lunar misty noble olive purple
        rusty scarlet sturdy velvet wooden
    """),
    first_names=_words(
        "Agnes Boris Celeste Dmitri Esther Florian Gideon Hilda Imogen Jasper Kirsten Lorenzo Mabel Nikolai "
        "Ophelia Percy Quentin Rowena Silas Tabitha Ulrich Viola Wanda Xavier Yvonne Zelda"
    ),
    last_names=_words(
        "Abbott Blackwood Crowther Dalgaard Eastman Fairfax Goldberg Hawthorne Inglis Jarvis Kowalski Lindqvist "
        "Mortensen Norwood Osborne Pemberton Quigley Radford Sandoval Thackeray Underwood Vandermeer Whitlock"
    ),
    cities=_lines("""
        Reykjavik\nTallinn\nRiga\nVilnius\nBratislava\nLjubljana\nZagreb\nSarajevo\nTirana\nSkopje\nTbilisi\nYerevan\nBaku
        Tashkent\nUlaanbaatar\nKathmandu\nColombo\nWindhoek\nLusaka\nHarare\nDakar\nAsuncion\nMontevideo\nHalifax\nBergen
        Aarhus\nTampere\nGraz\nTrieste\nNantes
    """),
    countries=_lines("Iceland\nEstonia\nLatvia\nSlovenia\nCroatia\nGeorgia\nNepal\nNamibia\nUruguay\nParaguay"),
    companies=_lines("Kestrel Optics\nFoxglove\nIronbridge\nLarkspur Dairy\nQuarry Lane\nTidewater"),
    products=_lines("bamboo flute\nfolding ruler\nleather wallet\nbrass telescope\nwool socks\nladder stool\nsilk tie"),
    foods=_lines("goulash\npaella\nshakshuka\nborscht\ngnocchi\nmoussaka\nplum cake\nonion tart"),
    topics=_lines("""
        medieval bridges\nhow glaciers move\nantique typewriters\ncoral reefs\norigami cranes\nthe silk road
        lighthouse keepers\nwooden boats
    """),
    messages=_lines("""
        the ferry leaves at dawn\nwe found your blue umbrella\nthe choir sings tomorrow\nplease feed the goats
        the lantern needs new oil\nyour violin is tuned\nthe bakery ran out of rye\nthe bridge is closed for repairs
    """),
    onsets=_words("z w j y c cr fl gl pr sn sk tw sw"),
    rimes=_words("ea ou ai ob ug eth ist onk urm ib ask elt"),
    held_out=True,
)
