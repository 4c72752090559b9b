-- The tables of the sample shop; the variable order_count says how many orders.
-- Every value comes from `pick`, an integer hash of (row number, column number): nothing here is random, and nothing
-- depends on the engine's own hash functions or on the order of work.

create temp macro scramble(x) as
    xor(x, x >> 16);

-- A 32-bit mix of multiplications and shifts; each product stays below 2^63.
create temp macro pick(n, salt) as
    scramble((scramble((scramble((n::bigint + 1) * 2654435 % 4294967296 + salt * 40503) % 4294967296)
        * 73244475 % 4294967296) * 73244475 % 4294967296));

create temp macro word(words, h) as
    words[1 + h % len(words)];

-- Products and orders agree on what a product costs without a join.
create temp macro price_of(product_id) as
    ((pick(product_id, 901) % 30 + 1) * (pick(product_id, 902) % 40 + 1) * 10 + 99 - pick(product_id, 903) % 5 * 10)
    ::decimal(12, 0);

create table customers as
select
    n + 1 as customer_id,
    first_name || ' ' || last_name as name,
    case when h3 % 25 = 0 then null
         else 'customer' || (n + 1) || '@' || word(['example.com', 'example.org', 'example.net'], h3) end as email,
    place[1] as country,
    place[2] as city,
    word(['consumer', 'consumer', 'consumer', 'business', 'business', 'public sector'], h1 >> 8) as segment,
    date '2019-01-01' + (pick(n, 5) % 1096)::integer as signed_up_on,
    pick(n, 6) % 3 = 0 as newsletter
from (
    select
        n,
        pick(n, 1) as h1,
        pick(n, 4) as h3,
        word(['Ada', 'Zoë', 'Łukasz', 'Søren', 'José', 'Mei', '美咲', 'Olivia', 'Noah', 'Amélie', 'Jürgen', 'Ιωάννα',
              'Дмитрий', 'Fatima', 'Chidi', 'Aroha', 'Priya', 'Mateo', 'Ingrid', 'Tomás', 'Ngọc', 'Siân', 'Ömer',
              'Grace', 'Liam', 'Chloé', 'Björn', 'Nadia', 'Kofi', 'Yuki'], pick(n, 2)) as first_name,
        word(['Novák', 'O''Brien', 'García', 'Müller', '田中', 'Nguyễn', 'Smith', 'Kowalski', 'Østergård', 'Rossi',
              'Papadopoulos', 'Иванова', 'Haddad', 'Okafor', 'Ngata', 'Sharma', 'Fernández', 'Lindqvist', 'Silva',
              'Dubois', 'Yılmaz', 'Jones', 'van der Berg', 'Šimić', 'Mensah', 'Kim', 'Larsen'], pick(n, 3)) as last_name,
        word([['Germany', 'Berlin'], ['Germany', 'München'], ['Germany', 'Köln'], ['France', 'Paris'],
              ['France', 'Orléans'], ['United Kingdom', 'London'], ['United Kingdom', 'Leeds'], ['Spain', 'Málaga'],
              ['Poland', 'Łódź'], ['Poland', 'Kraków'], ['Denmark', 'Århus'], ['Sweden', 'Malmö'], ['Japan', '東京'],
              ['Japan', '大阪'], ['Greece', 'Αθήνα'], ['Brazil', 'São Paulo'], ['United States', 'Boston'],
              ['United States', 'Portland'], ['United States', 'Denver'], ['New Zealand', 'Whangārei'],
              ['Nigeria', 'Lagos'], ['India', 'Pune'], ['Türkiye', 'İzmir'], ['Côte d''Ivoire', 'Abidjan']],
             pick(n, 1)) as place
    from range(greatest(1, getvariable('order_count') // 50)) as numbers(n)
)
order by customer_id;

create table products as
select
    n + 1 as product_id,
    word(['Alpine', 'Café', 'Classic', 'Everyday', 'Garden', 'Harbour', 'Little', 'Midnight', 'Nordic', 'Paper',
          'Piñata', 'Summer', 'Travel', 'Urban', 'Wild'], pick(n, 911)) || ' '
        || word(['basket', 'blanket', 'candle', 'chair', 'cup', 'kettle', 'lamp', 'mirror', 'notebook', 'pan', 'rug',
                 'shelf', 'teapot', 'towel', 'vase'], pick(n, 912)) || ' ' || (n + 1) as name,
    word(['Kitchen', 'Living', 'Bath', 'Garden', 'Office', 'Décor'], pick(n, 913)) as category,
    word(['Fjord & Co', 'Maison Été', 'Oakline', 'Ströme', '"Plain"', 'Kumo 雲'], pick(n, 914)) as brand,
    (price_of(n + 1) / 100)::decimal(10, 2) as list_price,
    ((pick(n, 915) % 9800 + 200) / 1000.0)::double as weight_kg,
    date '2019-01-01' + (pick(n, 916) % 1095)::integer as launched_on,
    pick(n, 917) % 12 <> 0 as is_active
from range(500) as numbers(n)
order by product_id;

create table orders as
with drawn as (
    select
        n,
        pick(n, 11) as h1,
        pick(n, 12) as h2,
        pick(n, 13) as h3,
        pick(n, 14) as h4,
        -- Evenly growing sales: the share of orders up to a moment goes with the square of (moment + a head start).
        floor(94694400 * (sqrt(0.25 + 2 * (n / getvariable('order_count'))) - 0.5))::bigint as second
    from range(getvariable('order_count')) as numbers(n)
),
priced as (
    select
        *,
        -- Of two draws the smaller: some customers and products are much more popular than others.
        least(h1 % greatest(1, getvariable('order_count') // 50), h2 % greatest(1, getvariable('order_count') // 50)) + 1
            as customer_id,
        least(h3 % 500, h4 % 500) + 1 as product_id,
        (1 + least((h1 >> 16) % 12, (h2 >> 16) % 12))::integer as quantity,
        case when (h3 >> 12) % 10 < 7 then null else ((1 + (h3 >> 20) % 6) * 5 / 100.0)::decimal(3, 2) end as discount,
        timestamp '2022-01-01 00:00:00' + to_seconds(second) as ordered_at,
        case when second > 94694400 - 3 * 86400 and h2 % 20 < 17 then 'placed'
             else word(['placed', 'shipped', 'shipped', 'shipped', 'completed', 'completed', 'completed', 'completed',
                        'completed', 'completed', 'completed', 'completed', 'completed', 'completed', 'returned',
                        'cancelled'], h4 >> 10) end as status
    from drawn
)
select
    n + 1 as order_id,
    customer_id,
    product_id,
    status,
    quantity,
    unit_price,
    (quantity * unit_price * (1 - coalesce(discount, 0)))::decimal(12, 2) as amount,
    discount,
    ordered_at,
    case when status in ('shipped', 'completed', 'returned')
         then (ordered_at + to_days((1 + (h1 >> 8) % 9)::integer))::date end as shipped_on,
    (h2 >> 8) % 11 = 0 as is_gift,
    case when (h4 >> 4) % 5 = 0
         then word(['Please ring twice', 'Leave it with the neighbour', 'Für Oma ❤️', 'お急ぎください',
                    'Merci de laisser à l''accueil', 'He said "no plastic", please', 'Подарок', 'Fragile 🏺',
                    'Second floor,' || chr(10) || 'left door', 'σκάλα Β', 'Happy birthday, Zoë! 🎂', ''], h3 >> 3)
    end as note
from (
    select
        *,
        -- The list price of 2024, up to 8 % less in the years before.
        (price_of(product_id) * (92 + 4 * (year(ordered_at) - 2022)) / 10000)::decimal(10, 2) as unit_price
    from priced
)
order by order_id;
